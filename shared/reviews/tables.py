"""The tables of reviews, the same in every service that has something to review."""

from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

from shared.contracts.governance import Party
from shared.data.migrations import govern
from shared.data.session import TYPE_MAP, EnumText, Governed
from shared.data.tables import new_metadata
from shared.reviews.domain import OVERDUE, Determination, ReviewState, SubjectKind


class Reviewed(Governed):
    """A row that is reviewed: a charter, an agreement, an SLA."""

    title: Mapped[str]
    next_review_due: Mapped[date]


class StatementRow(Governed):
    """What one party determined; the review closes when all that must have said the same."""

    __tablename__ = "review_statement"

    party: Mapped[Party] = mapped_column(EnumText(Party))
    outcome: Mapped[Determination] = mapped_column(EnumText(Determination))
    rationale: Mapped[str]
    member_id: Mapped[UUID]
    display_name: Mapped[str]

    @declared_attr.directive
    def __table_args__(cls) -> tuple[UniqueConstraint]:  # noqa: N805 - SQLAlchemy hands over the class
        return (UniqueConstraint("review_id", "party"),)

    @declared_attr
    def review_id(cls) -> Mapped[UUID]:  # noqa: N805 - SQLAlchemy hands over the class
        return mapped_column(ForeignKey("review.id"))

    @property
    def stated_at(self) -> datetime:
        return self.updated_at


class ReviewRow(Governed):
    """One review of one subject. `raised` names the reminders given."""

    __tablename__ = "review"

    subject_kind: Mapped[SubjectKind] = mapped_column(EnumText(SubjectKind))
    subject_id: Mapped[UUID]
    due: Mapped[date]
    zone: Mapped[str]
    state: Mapped[ReviewState] = mapped_column(EnumText(ReviewState))
    raised: Mapped[list[str]]
    outcome: Mapped[Determination | None] = mapped_column(EnumText(Determination))
    determined_at: Mapped[datetime | None]

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Index]:  # noqa: N805 - SQLAlchemy hands over the class
        is_open = text("state = 'open'")
        return (Index("uq_review_open", "subject_id", unique=True, postgresql_where=is_open),)

    @declared_attr
    def statements(cls) -> Mapped[list[StatementRow]]:  # noqa: N805 - SQLAlchemy hands over the class
        """What was determined so far, the customer first."""
        return relationship(
            "ReviewStatement", lazy="selectin", viewonly=True, order_by="ReviewStatement.party"
        )

    @property
    def is_overdue(self) -> bool:
        return OVERDUE in self.raised


class Operations(Protocol):
    """The part of `alembic.op` used here."""

    def execute(self, sqltext: str) -> None: ...

    def get_bind(self) -> Connection: ...


def create_reviews(op: Operations) -> None:
    """Make the tables, with their row-level security, in a service's first migration."""

    class Base(DeclarativeBase):
        metadata = new_metadata()
        type_annotation_map = TYPE_MAP

    class Review(ReviewRow, Base):
        pass

    class ReviewStatement(StatementRow, Base):
        pass

    tables = [Base.metadata.tables[row.__tablename__] for row in (Review, ReviewStatement)]
    Base.metadata.create_all(op.get_bind(), tables=tables, checkfirst=False)
    for table in tables:
        govern(op, table.name)
