"""Decisions and escalations as the API gives them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import AliasPath, Field

from services.changes.matters.domain.ballot import Vote
from services.changes.matters.domain.escalation import Cause, EscalationState
from shared.contracts.governance import Party, Severity
from shared.web.pages import Page
from shared.web.schemas import Out


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
    """What both parties decided. `subject_hash` is over `subject_snapshot`, the text they decided upon."""

    id: UUID
    number: str = Field(examples=["DEC-FY27-0001"])
    charter_id: UUID
    charter_version: int
    charter_content_hash: str
    decision_class: str
    subject_kind: Literal["change_request"]
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
    subject_kind: Literal["change_request"]
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
    outcome: Literal["approved", "rejected", "deferred", "withdrawn"] | None
    closed_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime


class EscalationDetail(Escalation):
    """An escalation with every rung it climbed."""

    steps: list[EscalationRung]


class EscalationPage(Page[Escalation]):
    pass
