"""The table of the change-request log."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.changes.base import Base
from services.changes.change_requests.domain import (
    DECIDED,
    ChangeCategory,
    ChangeState,
    ChangeType,
    PriorityLevel,
)
from services.changes.matters.domain.routing import RequestReason
from services.changes.matters.models import Matter, Position
from shared.contracts.governance import Party, Severity
from shared.data.session import EnumText, Governed


class ChangeRequest(Governed, Base):
    """One row of the log. While a body has it, `matter` says which one, until when, and who voted how.

    It is shown with its matter under one ETag, so its version counts what happens to the matter as well.
    """

    __tablename__ = "change_request"
    __table_args__ = (
        UniqueConstraint("charter_id", "number", name="uq_change_request_charter_id_number"),
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
    matter_id: Mapped[UUID | None]

    matter: Mapped[Matter | None] = relationship(
        lazy="raise", viewonly=True, primaryjoin="foreign(ChangeRequest.matter_id) == Matter.id"
    )
    votes: Mapped[list[Position]] = relationship(
        lazy="raise",
        viewonly=True,
        secondary="matter",
        primaryjoin="ChangeRequest.id == foreign(Matter.subject_id)",
        secondaryjoin="Matter.id == foreign(Position.matter_id)",
        order_by="Position.id",
    )

    @property
    def body(self) -> str | None:
        return self.matter.body if self.matter else None

    @property
    def body_name(self) -> str | None:
        return self.matter.body_name if self.matter else None

    @property
    def tier(self) -> int | None:
        return self.matter.tier if self.matter else None

    @property
    def computed_body(self) -> str | None:
        return self.matter.computed_body if self.matter else None

    @property
    def explanation(self) -> Sequence[dict[str, str]]:
        return self.matter.explanation if self.matter else ()

    @property
    def clock(self) -> dict[str, object] | None:
        return self.matter.clock if self.matter else None

    @property
    def escalation_id(self) -> UUID | None:
        return self.matter.escalation_id if self.matter else None

    @property
    def decision_id(self) -> UUID | None:
        return self.matter.decision_id if self.matter and self.state in DECIDED else None

    @property
    def decided_at(self) -> datetime | None:
        return self.matter.decided_at if self.matter and self.state in DECIDED else None

    @property
    def priority(self) -> dict[str, PriorityLevel]:
        return {"impact": self.priority_impact, "urgency": self.priority_urgency}
