"""Tables of alerts. Every row belongs to one organization; the other party never sees it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.notifier.alerts.domain import AlertState, Priority, Resolution
from services.notifier.base import Base
from shared.contracts.base import Scope, Visibility
from shared.data.session import EnumText, OrgOwned

UNRESOLVED = text("state <> 'resolved'")


class Alert(OrgOwned, Base):
    """Something that needs a person of one organization. Only unresolved alerts own a dedup key."""

    __tablename__ = "alert"
    __table_args__ = (
        Index("uq_alert_dedup_key", "org_id", "dedup_key", unique=True, postgresql_where=UNRESOLVED),
        Index("ix_alert_unresolved", "dedup_key", postgresql_where=UNRESOLVED),
    )

    charter_id: Mapped[UUID | None] = mapped_column(index=True)
    customer_org_id: Mapped[UUID | None]
    provider_org_id: Mapped[UUID | None]
    rule: Mapped[str]
    event_type: Mapped[str]
    subject_id: Mapped[UUID]
    dedup_key: Mapped[str]
    title: Mapped[str]
    priority: Mapped[Priority] = mapped_column(EnumText(Priority))
    state: Mapped[AlertState] = mapped_column(EnumText(AlertState))
    roles: Mapped[list[str]]
    must_act: Mapped[bool]
    ends_with_cause: Mapped[bool]
    occurrences: Mapped[int]
    last_event_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[UUID | None]
    snoozed_until: Mapped[datetime | None]
    snoozed_by: Mapped[UUID | None]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[UUID | None]
    resolution: Mapped[Resolution | None] = mapped_column(EnumText(Resolution))

    @property
    def scope(self) -> Scope:
        """The charter's, narrowed to the party this alert is for; empty for alerts about an endpoint."""
        if self.charter_id is None:
            return Scope()
        return Scope(
            charter_id=self.charter_id,
            customer_org_id=self.customer_org_id,
            provider_org_id=self.provider_org_id,
            visibility=self._party,
        )

    @property
    def _party(self) -> Visibility:
        return "customer" if self.org_id == self.customer_org_id else "provider"
