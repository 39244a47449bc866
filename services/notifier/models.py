"""Tables of the notifier. Every row belongs to one organization; the other party never sees it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.notifier.base import Base
from services.notifier.domain.alerts import AlertState, Change, Priority, Resolution
from services.notifier.domain.health import Circuit, DisableReason, Health
from services.notifier.domain.schedule import DeliveryState, Fault, Verdict
from services.notifier.domain.templates import Template
from services.notifier.vault import Purpose
from shared.contracts.base import Scope, Visibility
from shared.data.ids import uuid7
from shared.data.session import EnumText, OrgOwned

UNRESOLVED = text("state <> 'resolved'")
_PENDING = text("state = 'pending'")
_IN_FLIGHT = text("state = 'in_flight'")


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
    occurrences: Mapped[int]
    last_event_at: Mapped[datetime]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[UUID | None]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[UUID | None]
    resolution: Mapped[Resolution | None] = mapped_column(EnumText(Resolution))

    history: Mapped[list["AlertEntry"]] = relationship(lazy="raise", order_by="AlertEntry.id")

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


class AlertEntry(Base):
    """One line of an alert's history."""

    __tablename__ = "alert_history"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    alert_id: Mapped[UUID] = mapped_column(ForeignKey("alert.id"), index=True)
    org_id: Mapped[UUID]
    at: Mapped[datetime]
    change: Mapped[Change] = mapped_column(EnumText(Change))
    priority: Mapped[Priority] = mapped_column(EnumText(Priority))
    note: Mapped[str]
    event_id: Mapped[UUID | None]
    member_id: Mapped[UUID | None]


class Endpoint(OrgOwned, Base):
    """Where an organization wants its alerts delivered, and how that has been going.

    The columns of its health change without a new version: an ETag covers what people decide.
    """

    __tablename__ = "endpoint"
    __table_args__ = (CheckConstraint("max_in_flight BETWEEN 1 AND 64", name="max_in_flight"),)

    name: Mapped[str]
    url: Mapped[str]
    template: Mapped[Template] = mapped_column(EnumText(Template))
    template_options: Mapped[dict[str, Any]]
    event_types: Mapped[list[str]]
    least_priority: Mapped[Priority] = mapped_column(EnumText(Priority))
    max_in_flight: Mapped[int]
    enabled: Mapped[bool]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[DisableReason | None] = mapped_column(EnumText(DisableReason))
    deleted_at: Mapped[datetime | None]
    tested_at: Mapped[datetime | None]
    secret_last4: Mapped[str]
    has_authorization: Mapped[bool]
    circuit: Mapped[Circuit] = mapped_column(EnumText(Circuit))
    circuit_open_until: Mapped[datetime | None]
    circuit_closed_at: Mapped[datetime | None]
    circuit_trips: Mapped[int]
    failures_in_a_row: Mapped[int]
    failing_since: Mapped[datetime | None]
    configuration_failures: Mapped[int]
    throttled_until: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]

    @property
    def health(self) -> Health:
        return Health(
            circuit=self.circuit,
            open_until=self.circuit_open_until,
            closed_at=self.circuit_closed_at,
            trips=self.circuit_trips,
            failures_in_a_row=self.failures_in_a_row,
            failing_since=self.failing_since,
            configuration_failures=self.configuration_failures,
            throttled_until=self.throttled_until,
        )

    @health.setter
    def health(self, health: Health) -> None:
        self.circuit = health.circuit
        self.circuit_open_until = health.open_until
        self.circuit_closed_at = health.closed_at
        self.circuit_trips = health.trips
        self.failures_in_a_row = health.failures_in_a_row
        self.failing_since = health.failing_since
        self.configuration_failures = health.configuration_failures
        self.throttled_until = health.throttled_until

    @property
    def needs_configuration(self) -> bool:
        return self.health.needs_configuration


class EndpointSecret(Base):
    """A sealed secret of an endpoint; `expires_at` ends the overlap of a rotation."""

    __tablename__ = "endpoint_secret"
    __table_args__ = (UniqueConstraint("endpoint_id", "purpose", "secret_version"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("endpoint.id"))
    org_id: Mapped[UUID]
    purpose: Mapped[Purpose] = mapped_column(EnumText(Purpose))
    secret_version: Mapped[int]
    key_id: Mapped[str]
    nonce: Mapped[bytes]
    ciphertext: Mapped[bytes]
    last4: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]


class Delivery(OrgOwned, Base):
    """One message for one endpoint. `body` is sent as it stands here at every attempt.

    `attempt` counts all attempts and grows when one is claimed, so that a crash counts too; those up
    to `round_start` were made before the last replay.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id", "alert_id"),
        Index("ix_delivery_due", "endpoint_id", "next_attempt_at", "id", postgresql_where=_PENDING),
        Index("ix_delivery_in_flight", "endpoint_id", "lease_until", postgresql_where=_IN_FLIGHT),
        Index("ix_delivery_tests", "next_attempt_at", postgresql_where=text("is_test AND state = 'pending'")),
        Index("ix_delivery_endpoint_created", "endpoint_id", "created_at"),
        Index("ix_delivery_alert", "alert_id", "endpoint_id"),
    )

    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("endpoint.id"))
    alert_id: Mapped[UUID | None] = mapped_column(ForeignKey("alert.id"))
    event_id: Mapped[UUID]
    event_type: Mapped[str]
    change: Mapped[Change | None] = mapped_column(EnumText(Change))
    content_type: Mapped[str]
    body: Mapped[str]
    is_test: Mapped[bool]
    state: Mapped[DeliveryState] = mapped_column(EnumText(DeliveryState))
    attempt: Mapped[int]
    round_start: Mapped[int]
    next_attempt_at: Mapped[datetime | None]
    lease_token: Mapped[UUID | None]
    lease_until: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    done_at: Mapped[datetime | None]
    traceparent: Mapped[str | None]

    attempts: Mapped[list["DeliveryAttempt"]] = relationship(lazy="raise", order_by="DeliveryAttempt.number")

    @property
    def webhook_id(self) -> str:
        """The receiver's idempotency key: the same at every retry and replay."""
        return webhook_id(self.id)


class DeliveryAttempt(Base):
    """What one attempt met. `excerpt` is redacted and at most 2 KiB."""

    __tablename__ = "delivery_attempt"
    __table_args__ = (
        UniqueConstraint("delivery_id", "number"),
        Index("ix_delivery_attempt_endpoint_at", "endpoint_id", "finished_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    delivery_id: Mapped[UUID] = mapped_column(ForeignKey("delivery.id"))
    endpoint_id: Mapped[UUID]
    org_id: Mapped[UUID]
    number: Mapped[int]
    finished_at: Mapped[datetime]
    duration_ms: Mapped[int]
    verdict: Mapped[Verdict] = mapped_column(EnumText(Verdict))
    status: Mapped[int | None]
    fault: Mapped[Fault | None] = mapped_column(EnumText(Fault))
    error: Mapped[str]
    address: Mapped[str | None]
    excerpt: Mapped[str]


def webhook_id(delivery_id: UUID) -> str:
    """The `webhook-id` of a delivery; it holds no dot, as the signature scheme demands."""
    return f"msg_{delivery_id.hex}"
