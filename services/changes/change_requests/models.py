"""The table of the change-request log."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, Row, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.changes.base import Base
from services.changes.change_requests.domain import ChangeCategory, ChangeState, ChangeType, PriorityLevel
from services.changes.matters.domain.routing import RequestReason
from services.changes.matters.models import BallotRow
from shared.contracts.governance import Party, Severity
from shared.data.session import EnumText, Governed


class ChangeRequest(Governed, Base):
    """One row of the log. `rung` counts the stays at a body: a new stay means new votes and a new clock."""

    __tablename__ = "change_request"
    __table_args__ = (
        UniqueConstraint("charter_id", "number", name="uq_change_request_charter_id_number"),
        Index(
            "ix_change_request_running_clock",
            "clock_ends_at",
            "clock_warns_at",
            postgresql_where=text("state = 'pending_decision'"),
        ),
        Index("ix_change_request_updated_at", "updated_at"),
    )

    number: Mapped[str]
    title: Mapped[str]
    type: Mapped[ChangeType] = mapped_column(EnumText(ChangeType))
    category: Mapped[ChangeCategory] = mapped_column(EnumText(ChangeCategory))
    description: Mapped[str]
    justification: Mapped[str]
    consequence_of_not_doing: Mapped[str]
    back_out_plan: Mapped[str]
    priority_impact: Mapped[PriorityLevel] = mapped_column(EnumText(PriorityLevel))
    priority_urgency: Mapped[PriorityLevel] = mapped_column(EnumText(PriorityLevel))
    severity: Mapped[Severity] = mapped_column(EnumText(Severity))
    origin: Mapped[Party] = mapped_column(EnumText(Party))
    requester_id: Mapped[UUID]
    requester_name: Mapped[str]
    charter_version: Mapped[int]
    impact: Mapped[dict[str, str]] = mapped_column(JSONB)
    requested_body: Mapped[str | None]
    reason_code: Mapped[RequestReason | None] = mapped_column(EnumText(RequestReason))
    state: Mapped[ChangeState] = mapped_column(EnumText(ChangeState))
    required_missing: Mapped[list[str]]
    body: Mapped[str | None]
    body_name: Mapped[str | None]
    tier: Mapped[int | None]
    computed_body: Mapped[str | None]
    explanation: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    rung: Mapped[int]
    clock_starts_at: Mapped[datetime | None]
    clock_warns_at: Mapped[datetime | None]
    clock_ends_at: Mapped[datetime | None]
    clock_rule: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    clock_warned_at: Mapped[datetime | None]
    clock_expired_at: Mapped[datetime | None]
    escalation_id: Mapped[UUID | None]
    decision_id: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]

    votes: Mapped[list[BallotRow]] = relationship(
        lazy="raise",
        viewonly=True,
        order_by="BallotRow.id",
        primaryjoin="ChangeRequest.id == BallotRow.change_id",
    )

    @property
    def rules(self) -> dict[str, str]:
        """The charter's row that grants each dimension to the present body."""
        return {line["dimension"]: line["rule"] for line in self.explanation}

    @property
    def clock(self) -> dict[str, object] | None:
        return running_clock(self)

    @property
    def priority(self) -> dict[str, PriorityLevel]:
        return priority(self)


CLOCK_COLUMNS = (
    "clock_starts_at",
    "clock_warns_at",
    "clock_ends_at",
    "clock_warned_at",
    "clock_expired_at",
    "clock_rule",
)


def running_clock(row: "ChangeRequest | Row[Any]") -> dict[str, object] | None:
    """The running clock with the rule that set it; None while nothing is timed."""
    if row.state != ChangeState.pending_decision or row.clock_rule is None:
        return None
    return {
        "starts_at": row.clock_starts_at,
        "warns_at": row.clock_warns_at,
        "ends_at": row.clock_ends_at,
        "warned_at": row.clock_warned_at,
        "expired_at": row.clock_expired_at,
        **row.clock_rule,
    }


def priority(row: "ChangeRequest | Row[Any]") -> dict[str, PriorityLevel]:
    return {"impact": row.priority_impact, "urgency": row.priority_urgency}
