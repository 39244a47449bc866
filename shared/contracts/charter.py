"""What the charter service publishes: who exists, what was ratified, which reviews are due."""

from datetime import date, datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from shared.contracts.base import TYPE_PREFIX, Event, Open, ReviewOutcome
from shared.contracts.governance import TEXT_FORMAT, ExecutableCharter, Party, Role

TOPIC = "concordat.charter"
CHARTER = "charter"


class _ShapedLikeACharter:
    """Documents an object as an `ExecutableCharter` without reading it into one."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(ExecutableCharter).core_schema)


SignedContent = Annotated[dict[str, Any], _ShapedLikeACharter()]
"""A signed text member for member as it was signed, whatever fields the class has by now: its RFC 8785 form is the
signed text."""


class OrganizationRegistered(Event):
    """An organization exists. `aid` is the three-digit agency identifier, where there is one."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "organization.registered.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "organization"

    org_id: UUID
    name: str
    aid: str | None = None


class MemberChanged(Event):
    """A member as it stands now; `active` false means removed. One member belongs to one organization."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "member.changed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "member"

    member_id: UUID
    org_id: UUID
    issuer: str
    subject: str
    display_name: str
    roles: tuple[Open[Role], ...]
    active: bool


class CharterDrafted(Event):
    """A charter was created between two organizations."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.drafted.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    number: str
    title: str
    customer_org_id: UUID
    provider_org_id: UUID
    observer_org_ids: tuple[UUID, ...] = ()


class CharterEdited(Event):
    """The draft's text changed; only its fingerprint travels."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.edited.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    content_hash: str


class CharterRatificationOpened(Event):
    """The text is frozen: signatures from now on are over `content_hash`."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.ratification_opened.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    content_hash: str


class CharterSigned(Event):
    """One signatory signed the frozen text."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.signed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    content_hash: str
    party: Open[Party]
    role: Open[Role]
    member_id: UUID


class CharterDeclined(Event):
    """A signatory declined; the charter went back to draft and its signatures are void."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.declined.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    party: Open[Party]
    reason: str


class CharterActivated(Event):
    """A ratified charter is in force; `content` is everything other services follow.

    `content_hash` is the SHA-256 of the signed text, which every service keeps byte for byte.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.activated.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    number: str
    charter_version: int
    content_hash: str
    customer_org_id: UUID
    provider_org_id: UUID
    observer_org_ids: tuple[UUID, ...] = ()
    effective_date: date
    next_review_due: date
    content: SignedContent
    text_format: int = TEXT_FORMAT


class CharterReviewDueSoon(Event):
    """The yearly review (M3 R3) comes due in `days_left` days."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.review.due_soon.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    title: str
    due: date
    days_left: int


class CharterReviewOverdue(Event):
    """The yearly review (M3 R3) was not determined by both parties in time."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.review.overdue.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    title: str
    due: date


class CharterReviewDetermined(Event):
    """Both Business Owners determined the outcome; the next review is set."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "charter.review.determined.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHARTER

    charter_id: UUID
    outcome: Open[ReviewOutcome]
    determined_at: datetime
    next_review_due: date


EVENTS: tuple[type[Event], ...] = (
    OrganizationRegistered,
    MemberChanged,
    CharterDrafted,
    CharterEdited,
    CharterRatificationOpened,
    CharterSigned,
    CharterDeclined,
    CharterActivated,
    CharterReviewDueSoon,
    CharterReviewOverdue,
    CharterReviewDetermined,
)
