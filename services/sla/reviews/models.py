"""The table of yearly reviews."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from services.sla.base import Base
from shared.data.session import EnumText, Governed
from shared.reviews.domain import OVERDUE, Determination, ReviewState, SubjectKind

_OPEN = text("state = 'open'")


class Review(Governed, Base):
    """One yearly review of an agreement or SLA. `raised` names the reminders given."""

    __tablename__ = "review"
    __table_args__ = (Index("uq_review_open", "subject_id", unique=True, postgresql_where=_OPEN),)

    subject_kind: Mapped[SubjectKind] = mapped_column(EnumText(SubjectKind))
    subject_id: Mapped[UUID]
    due: Mapped[date]
    zone: Mapped[str]
    state: Mapped[ReviewState] = mapped_column(EnumText(ReviewState))
    raised: Mapped[list[str]]
    outcome: Mapped[Determination | None] = mapped_column(EnumText(Determination))
    rationale: Mapped[str]
    determined_at: Mapped[datetime | None]
    determined_by: Mapped[UUID | None]
    determiner_name: Mapped[str | None]

    @property
    def is_overdue(self) -> bool:
        return OVERDUE in self.raised
