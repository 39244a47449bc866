"""Reviews of charters and what each party determined in them."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.charter.base import Base
from shared.contracts.governance import Party
from shared.data.session import EnumText, Governed
from shared.reviews.domain import OVERDUE, Determination, ReviewState

_OPEN = text("state = 'open'")


class ReviewStatement(Governed, Base):
    """What one party determined; the review closes when both say the same."""

    __tablename__ = "review_statement"
    __table_args__ = (UniqueConstraint("review_id", "party"),)

    review_id: Mapped[UUID] = mapped_column(ForeignKey("charter_review.id"))
    party: Mapped[Party] = mapped_column(EnumText(Party))
    outcome: Mapped[Determination] = mapped_column(EnumText(Determination))
    rationale: Mapped[str]
    member_id: Mapped[UUID]

    @property
    def stated_at(self) -> datetime:
        return self.updated_at


class CharterReview(Governed, Base):
    """One yearly review. `raised` names the reminders given."""

    __tablename__ = "charter_review"
    __table_args__ = (Index("uq_charter_review_open", "charter_id", unique=True, postgresql_where=_OPEN),)

    due: Mapped[date]
    zone: Mapped[str]
    state: Mapped[ReviewState] = mapped_column(EnumText(ReviewState))
    raised: Mapped[list[str]]
    outcome: Mapped[Determination | None] = mapped_column(EnumText(Determination))
    determined_at: Mapped[datetime | None]

    statements: Mapped[list[ReviewStatement]] = relationship(lazy="raise", viewonly=True)

    @property
    def is_overdue(self) -> bool:
        return OVERDUE in self.raised
