"""Tables of the charter service. Organizations and members live in the kernel's tables of those names."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from services.charter.base import Base
from services.charter.domain.signing import Signatory, Signed, missing
from services.charter.domain.states import CharterState
from shared.contracts.governance import Party, Role
from shared.data.session import EnumText, Governed, Versioned
from shared.reviews.domain import OVERDUE, Determination, ReviewState

_VALID = text("voided_at IS NULL")
_OPEN = text("state = 'open'")


class Organization(Versioned, Base):
    """An agency or provider."""

    __table__ = Base.metadata.tables["organization"]

    if TYPE_CHECKING:
        name: Mapped[str]
        aid: Mapped[str | None]


class Member(Versioned, Base):
    """A person of one organization, known by the identity provider's issuer and subject."""

    __table__ = Base.metadata.tables["member"]

    if TYPE_CHECKING:
        org_id: Mapped[UUID]
        issuer: Mapped[str]
        subject: Mapped[str]
        display_name: Mapped[str]
        roles: Mapped[list[str]]
        active: Mapped[bool]

    @property
    def owner(self) -> UUID:
        return self.org_id


class Signature(Governed, Base):
    """One signature over a frozen text. A decline voids it and keeps it."""

    __tablename__ = "signature"
    __table_args__ = (
        Index(
            "uq_signature_member",
            "charter_id",
            "charter_version",
            "member_id",
            unique=True,
            postgresql_where=_VALID,
        ),
        Index(
            "uq_signature_role",
            "charter_id",
            "charter_version",
            "party",
            "role",
            unique=True,
            postgresql_where=_VALID,
        ),
    )

    charter_version: Mapped[int]
    party: Mapped[Party] = mapped_column(EnumText(Party))
    role: Mapped[Role] = mapped_column(EnumText(Role))
    member_id: Mapped[UUID]
    display_name: Mapped[str]
    content_hash: Mapped[str]
    voided_at: Mapped[datetime | None]

    @property
    def signed_at(self) -> datetime:
        return self.created_at

    def as_signed(self) -> Signed:
        return Signed(
            party=self.party, role=self.role, member_id=self.member_id, content_hash=self.content_hash
        )


class Charter(Governed, Base):
    """The charter as it is now. Its `charter_id` is its own id.

    `activates_at` is set by the last signature: the start of the effective date where the charter applies.
    """

    __tablename__ = "charter"
    __table_args__ = (
        UniqueConstraint("number"),
        Index("ix_charter_activates_at", "activates_at", postgresql_where=text("state = 'ratification'")),
    )

    number: Mapped[str]
    title: Mapped[str]
    state: Mapped[CharterState] = mapped_column(EnumText(CharterState))
    charter_version: Mapped[int]
    content: Mapped[dict[str, Any]]
    content_hash: Mapped[str]
    findings_count: Mapped[int]
    effective_date: Mapped[date]
    next_review_due: Mapped[date]
    observer_org_ids: Mapped[list[UUID]]
    activates_at: Mapped[datetime | None]
    activated_at: Mapped[datetime | None]

    signatures: Mapped[list[Signature]] = relationship(
        lazy="raise", viewonly=True, primaryjoin=lambda: Charter.id == foreign(Signature.charter_id)
    )

    @property
    def missing_signatories(self) -> tuple[Signatory, ...]:
        """Who has still to sign; asks nobody to sign a draft."""
        if self.state is CharterState.draft:
            return ()
        return missing([signature.as_signed() for signature in self.signatures])


class CharterVersion(Governed, Base):
    """The text of a ratified version, for ever as it was signed."""

    __tablename__ = "charter_version"
    __table_args__ = (UniqueConstraint("charter_id", "charter_version"),)

    charter_version: Mapped[int]
    content: Mapped[dict[str, Any]]
    content_hash: Mapped[str]


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
    """One yearly review. `raised` names the reminders given; `wakes_at` is when to look at the clock again."""

    __tablename__ = "charter_review"
    __table_args__ = (
        Index("uq_charter_review_open", "charter_id", unique=True, postgresql_where=_OPEN),
        Index("ix_charter_review_wakes_at", "wakes_at", postgresql_where=_OPEN),
    )

    due: Mapped[date]
    zone: Mapped[str]
    state: Mapped[ReviewState] = mapped_column(EnumText(ReviewState))
    raised: Mapped[list[str]]
    wakes_at: Mapped[datetime | None]
    outcome: Mapped[Determination | None] = mapped_column(EnumText(Determination))
    determined_at: Mapped[datetime | None]

    statements: Mapped[list[ReviewStatement]] = relationship(lazy="raise", viewonly=True)

    @property
    def is_overdue(self) -> bool:
        return OVERDUE in self.raised
