"""Tables of deliveries. Every row belongs to one organization; the other party never sees it."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.notifier.alerts.domain import Change
from services.notifier.base import Base
from services.notifier.channels.domain import Fault, Verdict, message_id
from services.notifier.deliveries.domain import DeliveryState
from shared.data.ids import uuid7
from shared.data.session import EnumText, OrgOwned

_PENDING = text("state = 'pending'")
_IN_FLIGHT = text("state = 'in_flight'")


class Delivery(OrgOwned, Base):
    """One message for one endpoint. `body` is sent as it stands here at every attempt.

    `attempt` counts all attempts and grows when one is claimed, so that a crash counts too; those up
    to `round_start` were made before the last replay.
    """

    __tablename__ = "delivery"
    changes_silently = True
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
        return message_id(self.id)


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
