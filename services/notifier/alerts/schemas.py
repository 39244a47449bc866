"""Requests and responses about alerts."""

from datetime import datetime
from uuid import UUID

from pydantic import AliasPath, Field

from services.notifier.alerts.domain import AlertState, Change, Priority, Resolution
from shared.contracts.governance import Role
from shared.web.pages import Page
from shared.web.schemas import In, LongText, Out


class AlertNote(In):
    """Why; it is kept in the alert's history."""

    note: LongText = ""


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
    occurrences: int
    last_event_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: UUID | None
    resolved_at: datetime | None
    resolved_by: UUID | None
    resolution: Resolution | None


class Alert(AlertSummary):
    """An alert with its history, oldest first."""

    history: list[AlertEntry] = Field(validation_alias="timeline")


class AlertPage(Page[AlertSummary]):
    """A page of alerts."""
