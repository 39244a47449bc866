"""The tables of what a body decides: ballots, decisions, escalations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from services.changes.base import Base
from services.changes.matters.domain.ballot import BallotStatus, Vote
from services.changes.matters.domain.escalation import Cause, EscalationState
from shared.audit.rows import Entry
from shared.contracts.governance import Party, Severity
from shared.data.session import EnumText, Governed


class BallotRow(Governed, Base):
    """One vote as cast. Votes are kept for ever; `status` says which of them count."""

    __tablename__ = "ballot"
    __table_args__ = (
        Index(
            "uq_ballot_standing",
            "change_id",
            "party",
            unique=True,
            postgresql_where=text("status = 'standing'"),
        ),
    )

    change_id: Mapped[UUID] = mapped_column(ForeignKey("change_request.id"), index=True)
    rung: Mapped[int]
    body: Mapped[str]
    party: Mapped[Party] = mapped_column(EnumText(Party))
    member_id: Mapped[UUID]
    member_name: Mapped[str]
    member_roles: Mapped[list[str]]
    vote: Mapped[Vote] = mapped_column(EnumText(Vote))
    rationale: Mapped[str]
    conditions: Mapped[str]
    dissent: Mapped[str]
    status: Mapped[BallotStatus] = mapped_column(EnumText(BallotStatus))


class Decision(Governed, Base):
    """What both parties decided, over which text and by which right. Never changed once written."""

    __tablename__ = "decision"
    __table_args__ = (UniqueConstraint("charter_id", "number", name="uq_decision_charter_id_number"),)

    number: Mapped[str]
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


class Escalation(Governed, Base):
    """One journey of an item up the bodies, from the first rung it left until it was decided."""

    __tablename__ = "escalation"
    __table_args__ = (
        UniqueConstraint("charter_id", "number", name="uq_escalation_charter_id_number"),
        Index("uq_escalation_open", "subject_id", unique=True, postgresql_where=text("state = 'open'")),
    )

    number: Mapped[str]
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
