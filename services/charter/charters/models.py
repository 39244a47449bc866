"""Charters, their ratified versions and their signatures."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from services.charter.base import Base
from services.charter.charters.domain.signing import Signatory, Signed, missing
from services.charter.charters.domain.states import CharterState
from shared.contracts.governance import ExecutableCharter, Party, Role
from shared.data.directory import read_text
from shared.data.session import EnumText, Governed
from shared.data.tables.kernel import HASH_OF_TEXT
from shared.reviews.tables import Reviewed

_HASHED = CheckConstraint(HASH_OF_TEXT, name="content_hash")
_VALID = text("voided_at IS NULL")


class Worded:
    """A row that holds a charter's text: its bytes, the format they are written in, and the SHA-256 both parties sign."""

    text: Mapped[bytes]
    text_format: Mapped[int]
    content_hash: Mapped[str]

    def read(self) -> ExecutableCharter:
        """What the text says, for execution; what is signed is `text`."""
        return read_text(self.text, self.text_format)


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


class Charter(Worded, Reviewed, Base):
    """The charter as it is now. Its `charter_id` is its own id.

    `activates_at` is set by the last signature: the start of the effective date where the charter applies.
    """

    __tablename__ = "charter"
    __table_args__ = (
        UniqueConstraint("number"),
        _HASHED,
    )

    number: Mapped[str]
    state: Mapped[CharterState] = mapped_column(EnumText(CharterState))
    charter_version: Mapped[int]
    findings_count: Mapped[int]
    effective_date: Mapped[date]
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


class CharterService(Governed, Base):
    """A service that a ratified charter governs. Between two parties no other charter may govern it as well.

    The rows are made by the last signature and go when the charter ends; the constraint holds where a look at the
    other charters would miss one that is being ratified at the same moment.
    """

    __tablename__ = "charter_service"
    __table_args__ = (UniqueConstraint("customer_org_id", "provider_org_id", "service"),)

    service: Mapped[str]


class CharterVersion(Worded, Governed, Base):
    """The text of a ratified version, for ever as it was signed."""

    __tablename__ = "charter_version"
    __table_args__ = (UniqueConstraint("charter_id", "charter_version"), _HASHED)

    charter_version: Mapped[int]
