"""Requests and responses about alerts."""

from datetime import datetime
from uuid import UUID

from pydantic import AliasPath, Field

from services.notifier.alerts.domain import AlertState, Change, Priority, Resolution
from shared.contracts.governance import Role
from shared.web.pages import Page
from shared.web.schemas import In, Instant, LongText, Needed, Out


class AlertNote(In):
    """Why; it is kept in the alert's history."""

    note: LongText = ""


class AlertComment(In):
    """Words kept in the alert's history; they change nothing else."""

    note: Needed


class AlertSnooze(In):
    """Until which business time the alert is to be quiet, and why."""

    until: Instant
    reason: Needed


class AlertEntry(Out):
    """One line of an alert's history."""

    at: datetime
    change: Change = Field(validation_alias=AliasPath("detail", "change"))
    priority: Priority = Field(validation_alias=AliasPath("detail", "priority"))
    note: str = Field(validation_alias=AliasPath("detail", "note"))
    event_id: UUID | None = Field(validation_alias=AliasPath("detail", "event_id"))
    member_id: UUID | None = Field(validation_alias="actor_id")


class AlertSummary(Out):
    """Something that needs a person of the caller's organization."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    charter_id: UUID | None
    rule: str
    event_type: str
    subject_id: UUID
    dedup_key: str
    title: str
    priority: Priority
    state: AlertState
    roles: list[Role]
    must_act: bool = Field(
        description="Whether the caller's organization has to act; else it may acknowledge and comment only."
    )
    ends_with_cause: bool = Field(
        description="The alert ends when its cause does: until then it can be snoozed, and not resolved by hand."
    )
    occurrences: int
    last_event_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: UUID | None
    snoozed_until: datetime | None
    snoozed_by: UUID | None
    resolved_at: datetime | None
    resolved_by: UUID | None
    resolution: Resolution | None


class Alert(AlertSummary):
    """An alert with its history, oldest first."""

    history: list[AlertEntry] = Field(validation_alias="timeline")


class AlertPage(Page[AlertSummary]):
    """A page of alerts."""
