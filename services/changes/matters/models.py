"""The tables of what a body decides: matters, positions, concurrences, decisions, escalations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.changes.base import Base
from services.changes.matters.domain.escalation import Cause, EscalationState
from services.changes.matters.domain.kinds import EMERGENCY
from services.changes.matters.domain.routing import RequestReason
from services.changes.matters.domain.states import MatterState
from services.changes.matters.domain.voting import PositionStatus, Vote
from shared.audit.rows import Entry
from shared.contracts.governance import Party, Role, Severity
from shared.data.session import EnumText, Governed

HASH_OF_SUBJECT = "subject_text IS NULL OR subject_hash = encode(sha256(subject_text), 'hex')"
"""A decision is on bytes: the database itself refuses a hash that is not theirs."""


class Matter(Governed, Base):
    """One subject on its way to a decision. `entry` counts the stays at a body: a new stay means new votes.

    Of its subject it knows what is needed to decide, and the hash of the text that is decided upon. Of a subject of this
    service it has the text itself.
    """

    __tablename__ = "matter"
    __table_args__ = (
        CheckConstraint(HASH_OF_SUBJECT, name="subject_hash"),
        Index(
            "uq_matter_open",
            "subject_id",
            "decision_class",
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_matter_updated_at", "updated_at"),
    )

    subject_kind: Mapped[str]
    subject_id: Mapped[UUID] = mapped_column(index=True)
    subject_number: Mapped[str]
    subject_hash: Mapped[str]
    # None where another service keeps the text; lists need neither.
    subject_text: Mapped[bytes | None] = mapped_column(deferred=True)
    text_format: Mapped[int | None] = mapped_column(deferred=True)
    title: Mapped[str]
    decision_class: Mapped[str]
    question: Mapped[str]
    # Null, like the severity, for a refused put whose word we do not know; what a body has, has both.
    origin: Mapped[Party] = mapped_column(EnumText(Party), nullable=True)
    requester_id: Mapped[UUID | None]
    requester_name: Mapped[str]
    charter_version: Mapped[int]
    impact: Mapped[dict[str, str]] = mapped_column(JSONB)
    severity: Mapped[Severity] = mapped_column(EnumText(Severity), nullable=True)
    requested_body: Mapped[str | None]
    reason_code: Mapped[RequestReason | None] = mapped_column(EnumText(RequestReason))
    state: Mapped[MatterState] = mapped_column(EnumText(MatterState))
    body: Mapped[str | None]
    body_name: Mapped[str | None]
    tier: Mapped[int | None]
    computed_body: Mapped[str | None]
    explanation: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    entry: Mapped[int]
    clock_starts_at: Mapped[datetime | None]
    clock_warns_at: Mapped[datetime | None]
    clock_ends_at: Mapped[datetime | None]
    clock_rule: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    clock_warned_at: Mapped[datetime | None]
    clock_expired_at: Mapped[datetime | None]
    escalation_id: Mapped[UUID | None]
    decision_id: Mapped[UUID | None]
    decided_at: Mapped[datetime | None]

    votes: Mapped[list["Position"]] = relationship(lazy="raise", viewonly=True, order_by="Position.id")

    @property
    def is_emergency(self) -> bool:
        return self.decision_class == EMERGENCY

    @property
    def rules(self) -> dict[str, str]:
        """The charter's row that grants each dimension to the present body."""
        return {line["dimension"]: line["rule"] for line in self.explanation}

    @property
    def clock(self) -> dict[str, object] | None:
        if self.state != MatterState.open or self.clock_rule is None:
            return None
        return {
            "starts_at": self.clock_starts_at,
            "warns_at": self.clock_warns_at,
            "ends_at": self.clock_ends_at,
            "warned_at": self.clock_warned_at,
            "expired_at": self.clock_expired_at,
            **self.clock_rule,
        }


class Position(Governed, Base):
    """What one seat said. Positions are kept for ever; `status` says which of them count."""

    __tablename__ = "position"
    __table_args__ = (
        Index(
            "uq_position_standing",
            "matter_id",
            "party",
            unique=True,
            postgresql_where=text("status = 'standing'"),
        ),
    )

    matter_id: Mapped[UUID] = mapped_column(ForeignKey("matter.id"), index=True)
    entry: Mapped[int]
    body: Mapped[str]
    seat: Mapped[str]
    party: Mapped[Party] = mapped_column(EnumText(Party))
    role: Mapped[Role] = mapped_column(EnumText(Role))
    member_id: Mapped[UUID]
    member_name: Mapped[str]
    member_roles: Mapped[list[str]]
    vote: Mapped[Vote] = mapped_column(EnumText(Vote))
    rationale: Mapped[str]
    conditions: Mapped[str]
    dissent: Mapped[str]
    status: Mapped[PositionStatus] = mapped_column(EnumText(PositionStatus))


class Concurrence(Governed, Base):
    """A role's word that an approval needs beside the votes, such as an ISSO's. Kept like positions are."""

    __tablename__ = "concurrence"
    __table_args__ = (
        Index(
            "uq_concurrence_standing",
            "matter_id",
            "party",
            "role",
            unique=True,
            postgresql_where=text("status = 'standing'"),
        ),
    )

    matter_id: Mapped[UUID] = mapped_column(ForeignKey("matter.id"), index=True)
    entry: Mapped[int]
    party: Mapped[Party] = mapped_column(EnumText(Party))
    role: Mapped[Role] = mapped_column(EnumText(Role))
    member_id: Mapped[UUID]
    member_name: Mapped[str]
    concurs: Mapped[bool]
    reason: Mapped[str]
    status: Mapped[PositionStatus] = mapped_column(EnumText(PositionStatus))


class Decision(Governed, Base):
    """What both parties decided, over which text and by which right. Never changed once written.

    `subject_text` is that text, byte for byte, unless another service keeps it; `subject_snapshot` is for reading.
    """

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint(HASH_OF_SUBJECT, name="subject_hash"),
        UniqueConstraint("charter_id", "number", name="uq_decision_charter_id_number"),
    )

    number: Mapped[str]
    matter_id: Mapped[UUID] = mapped_column(ForeignKey("matter.id"), index=True)
    decision_class: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID] = mapped_column(index=True)
    subject_number: Mapped[str]
    question: Mapped[str]
    outcome: Mapped[str]
    conditions: Mapped[str]
    rationale: Mapped[str]
    dissent: Mapped[str]
    votes: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    body: Mapped[str]
    body_name: Mapped[str]
    tier: Mapped[int]
    charter_version: Mapped[int]
    charter_content_hash: Mapped[str]
    rules: Mapped[dict[str, str]] = mapped_column(JSONB)
    subject_snapshot: Mapped[dict[str, Any]] = mapped_column(JSONB)
    subject_hash: Mapped[str]
    subject_text: Mapped[bytes | None] = mapped_column(deferred=True)
    text_format: Mapped[int | None] = mapped_column(deferred=True)


class Escalation(Governed, Base):
    """One journey of a matter up the bodies, from the first rung it left until it was decided."""

    __tablename__ = "escalation"
    __table_args__ = (
        UniqueConstraint("charter_id", "number", name="uq_escalation_charter_id_number"),
        Index("uq_escalation_open", "matter_id", unique=True, postgresql_where=text("state = 'open'")),
    )

    number: Mapped[str]
    matter_id: Mapped[UUID] = mapped_column(ForeignKey("matter.id"))
    subject_kind: Mapped[str]
    subject_id: Mapped[UUID] = mapped_column(index=True)
    subject_number: Mapped[str]
    title: Mapped[str]
    severity: Mapped[Severity] = mapped_column(EnumText(Severity))
    state: Mapped[EscalationState] = mapped_column(EnumText(EscalationState))
    from_body: Mapped[str]
    body: Mapped[str]
    cause: Mapped[Cause] = mapped_column(EnumText(Cause))
    reason_code: Mapped[str]
    clock_ends_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    closed_at: Mapped[datetime | None]

    @property
    def steps(self) -> list[Entry]:
        """Every rung it climbed: who or what took it up, and why."""
        return [entry for entry in self.timeline if "to_body" in entry.detail]
