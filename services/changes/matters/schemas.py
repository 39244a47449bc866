"""Matters, decisions and escalations as the API takes and gives them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AliasPath, Field

from services.changes.matters.domain.escalation import Cause, EscalationReason, EscalationState
from services.changes.matters.domain.routing import RequestReason
from services.changes.matters.domain.states import MatterState
from services.changes.matters.domain.voting import PositionStatus, Vote
from shared.contracts.governance import ClockUnit, Party, Role, Severity
from shared.web.pages import Page
from shared.web.schemas import In, LongText, Needed, Out

UNKNOWN_WORD = "null only in a refused matter that was put with a word unknown here"


class ChangeDecide(In):
    """The vote of the caller's party."""

    vote: Vote
    rationale: Needed
    conditions: LongText = ""
    dissent: Annotated[
        LongText, Field(description="a differing opinion within the party, kept on record")
    ] = ""


class ChangeEscalate(In):
    """Why the next body should have it, and what was tried here."""

    reason_code: EscalationReason
    what_was_tried: Needed


class ExplainedDimension(Out):
    """Why one dimension lets this body decide: `rule` is the charter's row, `lowest_body` who could alone."""

    dimension: str
    value: str
    rule: str
    lowest_body: str
    text: str


class ClockRunning(Out):
    """How long the body may hold it, by which limit and which version of its calendar."""

    starts_at: datetime
    warns_at: datetime
    ends_at: datetime
    warned_at: datetime | None
    expired_at: datetime | None
    limit: int
    unit: ClockUnit
    calendar: str
    calendar_version: int
    zone: str


class VoteCast(Out):
    """A vote as cast; only `standing` and `counted` ones count."""

    party: Party
    member_id: UUID
    member_name: str
    member_roles: list[str]
    body: str
    vote: Vote
    rationale: str
    conditions: str
    dissent: str
    status: PositionStatus
    cast_at: datetime = Field(validation_alias="created_at")


class PositionTaken(VoteCast):
    """A vote with the seat it was cast from."""

    seat: str = Field(examples=["customer.om_team.1"])
    role: Role


class Matter(Out):
    """What a body decides: about which subject, over which text, who has it and until when."""

    id: UUID
    charter_id: UUID
    charter_version: int
    subject_kind: str = Field(examples=["change_request"])
    subject_id: UUID
    subject_number: str
    subject_hash: str
    title: str
    decision_class: str
    question: str
    origin: Annotated[Party | None, Field(description=UNKNOWN_WORD)]
    requester_id: UUID | None
    requester_name: str
    impact: dict[str, str]
    severity: Annotated[Severity | None, Field(description=UNKNOWN_WORD)]
    requested_body: str | None
    reason_code: RequestReason | None
    state: MatterState
    body: str | None
    body_name: str | None
    tier: int | None
    computed_body: str | None
    explanation: list[ExplainedDimension]
    clock: ClockRunning | None
    escalation_id: UUID | None
    decision_id: UUID | None
    decided_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class MatterTimelineItem(Out):
    at: datetime
    action: str
    actor_name: str
    actor_id: UUID | None
    state: MatterState = Field(validation_alias=AliasPath("detail", "state"))
    body: str | None = Field(validation_alias=AliasPath("detail", "body"))
    note: str = Field(validation_alias=AliasPath("detail", "note"))


class MatterDetail(Matter):
    """A matter with its positions and its history."""

    votes: list[PositionTaken]
    timeline: list[MatterTimelineItem]


class MatterPage(Page[Matter]):
    pass


class PartyVote(Out):
    party: Party
    member_id: UUID
    member_name: str
    member_roles: list[str]
    vote: Vote
    rationale: str
    conditions: str
    dissent: str
    cast_at: datetime


class Decision(Out):
    """What both parties decided. `subject_hash` is over the bytes they decided upon (`/text`, or with the service of the
    subject); `subject_snapshot` says what stood there."""

    id: UUID
    number: str = Field(examples=["DEC-FY27-0001"])
    charter_id: UUID
    charter_version: int
    charter_content_hash: str
    decision_class: str
    subject_kind: str = Field(examples=["change_request"])
    subject_id: UUID
    subject_number: str
    question: str
    outcome: Literal["approved", "rejected", "deferred"]
    conditions: str
    rationale: str
    dissent: str
    votes: list[PartyVote]
    body: str
    body_name: str
    tier: int
    rules: dict[str, str]
    subject_snapshot: dict[str, object]
    subject_hash: str
    decided_at: datetime = Field(validation_alias="created_at")
    version: int


class DecisionPage(Page[Decision]):
    pass


class EscalationRung(Out):
    from_body: str = Field(validation_alias=AliasPath("detail", "from_body"))
    to_body: str = Field(validation_alias=AliasPath("detail", "to_body"))
    cause: Cause = Field(validation_alias=AliasPath("detail", "cause"))
    reason_code: str = Field(validation_alias=AliasPath("detail", "reason_code"))
    what_was_tried: str = Field(validation_alias=AliasPath("detail", "what_was_tried"))
    actor_name: str
    actor_id: UUID | None
    at: datetime
    clock_ends_at: datetime | None = Field(validation_alias=AliasPath("detail", "clock_ends_at"))


class Escalation(Out):
    """An item on its way up: where it started, where it is, and how it ended."""

    id: UUID
    number: str = Field(examples=["ESC-FY27-0001"])
    charter_id: UUID
    subject_kind: str = Field(examples=["change_request"])
    subject_id: UUID
    subject_number: str
    title: str
    severity: Severity
    state: EscalationState
    from_body: str
    body: str
    cause: Cause
    reason_code: str
    clock_ends_at: datetime | None
    outcome: Literal["approved", "rejected", "deferred", "withdrawn", "refused"] | None
    closed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class EscalationDetail(Escalation):
    """An escalation with every rung it climbed."""

    steps: list[EscalationRung]


class EscalationPage(Page[Escalation]):
    pass
