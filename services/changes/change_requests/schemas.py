"""Change requests as the API takes and gives them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AliasPath, BeforeValidator, Field, StringConstraints, WithJsonSchema

from services.changes.change_requests.domain import (
    ChangeCategory,
    ChangeState,
    ChangeType,
    PriorityLevel,
)
from services.changes.matters.domain.routing import RequestReason
from services.changes.matters.schemas import ClockRunning, ExplainedDimension, VoteCast
from shared.contracts.governance import Party, Severity
from shared.web.pages import Page
from shared.web.schemas import In, Key, LongText, Needed, Out, Text

IMPACT_PATTERN = r"^-?[A-Za-z0-9][A-Za-z0-9_.]{0,63}$"
IMPACT_SCHEMA = {
    "type": "object",
    "description": "dimension of the charter, or `savings_one_time` or `savings_annual`, to amount (0 or more, as a string) or level",
    "additionalProperties": {"type": "string", "pattern": IMPACT_PATTERN},
    "propertyNames": {"pattern": r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"},
    "maxProperties": 50,
    "examples": [
        {
            "cost_one_time": "180000.00",
            "cost_annual": "0",
            "schedule_days": "15",
            "sla_effect": "none",
            "security_impact": "low",
        }
    ],
}


def _as_text(value: object) -> object:
    """Whole numbers may come as JSON integers; floats have lost their exactness already."""
    if isinstance(value, float):
        raise ValueError('send amounts as strings, for example "180000.00"')
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ImpactText = Annotated[str, BeforeValidator(_as_text), StringConstraints(strict=True, pattern=IMPACT_PATTERN)]
ImpactValues = Annotated[dict[Key, ImpactText], Field(max_length=50), WithJsonSchema(IMPACT_SCHEMA)]


class PriorityGiven(In):
    """How far the effect reaches and how soon it is felt; together they give the severity."""

    impact: PriorityLevel
    urgency: PriorityLevel


class ChangeCreate(In):
    """A new change request. Without every required dimension it waits for its impact analysis."""

    charter_id: UUID
    title: Annotated[Text, Field(examples=["Move the payroll calendar to 2027 tax tables"])]
    type: ChangeType
    category: ChangeCategory
    description: Needed
    justification: Needed
    consequence_of_not_doing: LongText = ""
    back_out_plan: LongText = ""
    priority: PriorityGiven
    impact: ImpactValues = Field(default_factory=dict)
    requested_body: Key | None = None
    reason_code: RequestReason | None = None


class RoutePreviewCreate(In):
    """The question "who would decide this?"."""

    charter_id: UUID
    type: ChangeType
    impact: ImpactValues = Field(default_factory=dict)
    requested_body: Key | None = None
    reason_code: RequestReason | None = None


class ChangeAssess(In):
    """Assessed dimensions; they are added to what is known and replace earlier estimates."""

    impact: ImpactValues


class ChangeWithdraw(In):
    reason: Needed


class ChangeResume(In):
    """Why a deferred request is taken up again."""

    reason: Needed


class Priority(Out):
    impact: PriorityLevel
    urgency: PriorityLevel


class RoutePreview(Out):
    """Who decides. With `required_missing` it is provisional: this body or a higher one."""

    body: str
    body_name: str
    tier: int
    computed_body: str
    explanation: list[ExplainedDimension]
    required_missing: list[str]


class Change(Out):
    """A change request as the log shows it."""

    id: UUID
    number: str = Field(examples=["CR-FY27-0001"])
    charter_id: UUID
    charter_version: int
    title: str
    type: ChangeType
    category: ChangeCategory
    description: str
    justification: str
    consequence_of_not_doing: str
    back_out_plan: str
    priority: Priority
    severity: Severity
    origin: Party
    requester_id: UUID
    requester_name: str
    impact: dict[str, str]
    requested_body: str | None
    reason_code: RequestReason | None
    state: ChangeState
    required_missing: list[str]
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


class TimelineItem(Out):
    at: datetime
    action: str
    actor_name: str
    actor_id: UUID | None
    state: ChangeState = Field(validation_alias=AliasPath("detail", "state"))
    body: str | None = Field(validation_alias=AliasPath("detail", "body"))
    note: str = Field(validation_alias=AliasPath("detail", "note"))


class ChangeDetail(Change):
    """A change request with its votes and its history."""

    votes: list[VoteCast]
    timeline: list[TimelineItem]


class ChangePage(Page[Change]):
    pass
