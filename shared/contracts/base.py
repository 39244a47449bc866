"""The envelope and base class of every event: CloudEvents 1.0, structured JSON, additive only."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from shared.contracts.governance import Party, Role

TYPE_PREFIX = "org.concordat."
SCHEMA_BASE = "https://concordat.invalid/schemas/events/"
SHARDS = 16

EXTENSIBLE = "Extensible enum: the words known so far. Keep what you do not know."
Visibility = Literal["shared", "customer", "provider"]
"""Closed, unlike the words in an event's data: nobody guesses who may see something."""
ReviewOutcome = Literal["no_change", "amend", "renew", "rebid", "terminate"]
E = TypeVar("E", bound="Event")
V = TypeVar("V")


class _Extensible:
    """Documents known words as examples: what a schema lists under `enum` can never be added to."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        known, _ = handler(schema)["anyOf"]
        return {
            "type": "string",
            "examples": handler.resolve_ref_schema(known)["enum"],
            "description": EXTENSIBLE,
        }


Open = Annotated[V | str, Field(union_mode="left_to_right"), _Extensible()]
"""One of a list of words that a later publisher may add to: `Open[Severity]`, `Open[Literal["met", "missed"]]`.

A reader keeps a word it does not know as the text it is. Whoever acts on the field has an answer for that, and whoever
only shows it shows the text.
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
