"""The envelope and base class of every event: CloudEvents 1.0, structured JSON, additive only."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from shared.contracts.governance import Party, Role

TYPE_PREFIX = "org.concordat."
SCHEMA_BASE = "https://concordat.invalid/schemas/events/"
SHARDS = 16

Visibility = Literal["shared", "customer", "provider"]
E = TypeVar("E", bound="Event")
V = TypeVar("V")


def _keep_unknown(value: object, read: ValidatorFunctionWrapHandler) -> object:
    try:
        return read(value)
    except ValidationError:
        if isinstance(value, str):
            return value
        raise


Open = Annotated[V, WrapValidator(_keep_unknown)]
"""An enumeration that a later publisher may add to. A reader keeps a word it does not know as plain text, so whoever
acts on the field asks first whether it is known; the schema we publish by stays closed.
"""


class Event(BaseModel):
    """The `data` of one kind of event. Subclasses set TYPE, TOPIC and AGGREGATE.

    Readers ignore unknown fields, so that a newer publisher never breaks an older consumer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str]
    TOPIC: ClassVar[str]
    AGGREGATE: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a row or an event concerns. Consumers copy it onto the rows they write.

    Events about the platform itself (an organization, a member) name no charter.
    """

    charter_id: UUID | None = None
    customer_org_id: UUID | None = None
    provider_org_id: UUID | None = None
    visibility: Visibility = "shared"

    def columns(self) -> dict[str, Any]:
        """The columns of every governed row that say so."""
        return {
            "charter_id": self.charter_id,
            "customer_org_id": self.customer_org_id,
            "provider_org_id": self.provider_org_id,
            "visibility": self.visibility,
        }


class Ask(BaseModel):
    """What an aggregate waits for from somebody. Every event of the aggregate carries all its asks: the list
    replaces the former one, an empty list closes all.

    `ask_id` stays the same while the same thing is asked. `seats` name places in a body of the charter; without any,
    `party` and `roles` say who is meant. `optional`: it may still be done, but nothing waits for it any more.
    `link` is the path of the resource on which to act.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    ask_id: UUID
    act: str
    seats: tuple[str, ...] = ()
    party: Open[Party] | None = None
    roles: tuple[Open[Role], ...] = ()
    due_at: datetime | None
    why: str
    link: str
    optional: bool = False


class Envelope(BaseModel):
    """A CloudEvents 1.0 context with our extensions; `data` stays undecoded until a class is known."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"]
    id: UUID
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    subject: UUID
    time: AwareDatetime
    datacontenttype: Literal["application/json"]
    dataschema: str
    sequence: int = Field(ge=1, description="version of the aggregate this event left behind")
    charterid: UUID | None = None
    customerorgid: UUID | None = None
    providerorgid: UUID | None = None
    visibility: Visibility = "shared"
    actorid: str | None = None
    actorrole: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None
    data: dict[str, object]

    @property
    def scope(self) -> Scope:
        return Scope(
            charter_id=self.charterid,
            customer_org_id=self.customerorgid,
            provider_org_id=self.providerorgid,
            visibility=self.visibility,
        )


@dataclass(frozen=True)
class Received(Generic[E]):
    """One event as a handler gets it: the envelope and the decoded, typed data."""

    envelope: Envelope
    event: E


class Registry:
    """Every event class of the published language, by its type."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Event]] = {}

    def register(self, *classes: type[Event]) -> None:
        for cls in classes:
            if cls.TYPE in self._classes:
                raise ValueError(f"event type {cls.TYPE} is registered twice")
            self._classes[cls.TYPE] = cls

    def __iter__(self) -> Iterator[type[Event]]:
        return iter(self._classes.values())

    def get(self, type_: str) -> type[Event] | None:
        return self._classes.get(type_)


def shard_of(aggregate_id: UUID) -> int:
    """The outbox shard of an aggregate: fixed for ever, so that its events stay in one order."""
    return zlib.crc32(aggregate_id.bytes) % SHARDS


def rfc3339(moment: datetime) -> str:
    """`moment` as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def schema_name(type_: str) -> str:
    """The committed JSON Schema file of an event type, relative to the schema folder."""
    return f"{type_}.json"


def schema_uri(type_: str) -> str:
    """The `dataschema` attribute of an event type: an identifier, nothing is served there."""
    return SCHEMA_BASE + schema_name(type_)
