"""Charters and signatures, in and out; the executable charter as a request, strict forms of the shapes in
`shared.contracts.governance`."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StrictBool, WithJsonSchema, model_validator

from services.charter.charters.domain.states import CharterState
from shared.contracts.governance import (
    BodyKind,
    ClockUnit,
    ExecutableCharter,
    LimitKind,
    Party,
    Role,
    Severity,
)
from shared.data.directory import CONTENT
from shared.web.pages import Page
from shared.web.schemas import AsDate, Exact, In, Key, LongText, Needed, Out, Text

MOST_ROWS = 1000


def _local(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("hours are local to the calendar's zone; leave the offset out")
    return value


Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2140, 12, 31), examples=["2026-10-01"]), AsDate]
_TIME_SCHEMA = {"type": "string", "pattern": r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$", "examples": ["08:00:00"]}
# Not `format: time`: RFC 3339 times carry an offset, hours of a calendar never do.
LocalTime = Annotated[time, AfterValidator(_local), WithJsonSchema(_TIME_SCHEMA)]
Tier = Annotated[int, Field(strict=True, ge=1, le=9)]
Seats = Annotated[int, Field(strict=True, ge=0, le=100)]
Days = Annotated[int, Field(strict=True, ge=0, le=3660)]
RowId = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_./\-]{0,99}$")]
Cadence = Annotated[str, Field(strict=True, max_length=200, pattern=r"^[\x20-\x7e]*$")]
ContentHash = Annotated[
    str, Field(strict=True, pattern=r"^[0-9a-f]{64}$", examples=["9f86d0818841...15b0f00a08"])
]


class SeatIn(In):
    party: Party
    role: Role
    voting: StrictBool = True
    member_id: UUID | None = None
    alternate_id: UUID | None = None


class QuorumIn(In):
    customer: Seats
    provider: Seats


class BodyIn(In):
    key: Key
    name: Text
    tier: Tier
    kind: BodyKind = BodyKind.standing
    parent: Key | None = None
    seats: Annotated[list[SeatIn], Field(max_length=100)]
    quorum: QuorumIn
    chair: Party | None = None
    cadence_stabilization: Cadence = ""
    cadence_steady: Cadence = ""
    calendar: Key = "federal"


class DecisionRightIn(In):
    id: RowId
    dimension: Key
    body: Key
    kind: LimitKind
    amount: Exact | None = None
    percent_of: Key | None = None
    levels: Annotated[list[Key], Field(max_length=100)] = Field(default_factory=list)


class RungIn(In):
    body: Key
    severity: Severity
    limit: Days | None
    unit: ClockUnit = ClockUnit.business_days


class FinalAuthorityIn(In):
    party: Party
    role: Role
    member_id: UUID | None = None


class OpenHoursIn(In):
    weekday: Annotated[int, Field(strict=True, ge=0, le=6)]
    opens: LocalTime
    closes: LocalTime


class ClosureIn(In):
    day: Day
    reason: Text


class CalendarRulesIn(In):
    key: Key
    zone: Text
    hours: Annotated[list[OpenHoursIn], Field(max_length=100)]
    federal_holidays: StrictBool = True
    closures: Annotated[list[ClosureIn], Field(max_length=MOST_ROWS)] = Field(default_factory=list)
    version: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1


class PauseIn(In):
    reason: Key
    max_business_days: Days = 5


class ReportingObligationIn(In):
    key: Key
    name: Text
    producer: Party
    due_business_day: Days
    acknowledge_within_business_days: Days = 10


class ExecutableCharterIn(In):
    """The whole text of a charter. `validate` names every rule it breaks; `freeze` refuses while there are any."""

    title: Text
    services_in_scope: Annotated[list[Text], Field(max_length=MOST_ROWS)]
    outcomes: Annotated[list[Needed], Field(max_length=MOST_ROWS)]
    authority: LongText
    effective_date: Day
    next_review_due: Day
    bodies: Annotated[list[BodyIn], Field(max_length=100)]
    decision_rights: Annotated[list[DecisionRightIn], Field(max_length=MOST_ROWS)]
    ladder: Annotated[list[RungIn], Field(max_length=MOST_ROWS)]
    final_authorities: Annotated[list[FinalAuthorityIn], Field(max_length=10)]
    calendars: Annotated[list[CalendarRulesIn], Field(max_length=20)]
    pauses: Annotated[list[PauseIn], Field(max_length=100)] = Field(default_factory=list)
    reporting: Annotated[list[ReportingObligationIn], Field(max_length=100)] = Field(default_factory=list)
    reference_amounts: Annotated[dict[Key, Exact], Field(max_length=100)] | None = None
    required_dimensions: Annotated[list[Key], Field(max_length=100)] = Field(default_factory=list)
    remediation_policy: LongText = ""
    emergency_review_business_days: Days = 5
    termination_notice_days: Days = 180

    def as_domain(self) -> ExecutableCharter:
        """The same text as the domain's data."""
        return CONTENT.validate_python(self.model_dump(mode="json"))


class ModelCharterIn(In):
    """What the model charter needs to know; everything else can be edited in the draft."""

    title: Text
    services: Annotated[list[Text], Field(min_length=1, max_length=100)]
    effective_date: Day
    annual_order_value: Annotated[Exact, Field(gt=Decimal(0))]


class CharterCreate(In):
    """A new draft: either a whole text (`content`), or the model text (`from_model`)."""

    customer_org_id: UUID
    provider_org_id: UUID
    observer_org_ids: Annotated[list[UUID], Field(max_length=50)] = Field(default_factory=list)
    content: ExecutableCharterIn | None = None
    from_model: ModelCharterIn | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.content is None) == (self.from_model is None):
            raise ValueError("give exactly one of content and from_model")
        return self


class CharterSign(In):
    content_hash: ContentHash
    role: Role


class CharterDecline(In):
    reason: Needed


class Signature(Out):
    party: Party
    role: Role
    member_id: UUID
    display_name: str
    content_hash: str
    signed_at: datetime


class Signatory(Out):
    party: Party
    role: Role


class CharterSummary(Out):
    """A charter in a list. `findings_count` is as of the last change to its text."""

    id: UUID
    version: int
    number: str
    title: str
    state: CharterState
    charter_version: int
    customer_org_id: UUID
    provider_org_id: UUID
    observer_org_ids: list[UUID]
    content_hash: str
    findings_count: int
    effective_date: date
    next_review_due: date
    activates_at: datetime | None
    activated_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Charter(CharterSummary):
    """A charter with its signatures. Read its text at `/charters/{id}/content`."""

    signatures: list[Signature]
    missing_signatories: list[Signatory]


class CharterPage(Page[CharterSummary]):
    """One page of charters."""


class FindingOut(Out):
    """A broken rule; `pointer` is a JSON pointer (RFC 6901) into the text."""

    code: str
    message: str
    pointer: str


class Validation(Out):
    """Every rule the text breaks; empty when it may be frozen."""

    findings: list[FindingOut]
