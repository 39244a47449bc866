"""Escalations as the API gives them."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from services.changes.domain.escalation import Cause, EscalationState
from shared.contracts.governance import Severity
from shared.web.pages import Page
from shared.web.schemas import Out


class EscalationRung(Out):
    from_body: str
    to_body: str
    cause: Cause
    reason_code: str
    what_was_tried: str
    actor_name: str
    actor_id: UUID | None
    at: datetime = Field(validation_alias="created_at")
    clock_ends_at: datetime | None


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
