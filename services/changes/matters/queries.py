"""The selects of matters, decisions, escalations and positions that deserve a name."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters.domain.escalation import EscalationState
from services.changes.matters.domain.states import MatterState
from services.changes.matters.domain.voting import PositionStatus
from services.changes.matters.models import Decision, Escalation, Matter, Position
from shared.data.listing import Listing, any_of


def matters(
    *,
    charter_id: Sequence[UUID] | None = None,
    subject_kind: Sequence[str] | None = None,
    subject_id: Sequence[UUID] | None = None,
    state: Sequence[MatterState] | None = None,
    body: Sequence[str] | None = None,
) -> Listing[Matter]:
    """Whatever bodies decide. Each filter takes any of several values."""
    wanted = select(Matter).where(
        *any_of(Matter.charter_id, charter_id),
        *any_of(Matter.subject_kind, subject_kind),
        *any_of(Matter.subject_id, subject_id),
        *any_of(Matter.state, state),
        *any_of(Matter.body, body),
    )
    return Listing(wanted, Matter)


def decisions(
    *,
    charter_id: Sequence[UUID] | None = None,
    subject_id: Sequence[UUID] | None = None,
    outcome: Sequence[str] | None = None,
) -> Listing[Decision]:
    """The register of decisions. Each filter takes any of several values."""
    wanted = select(Decision).where(
        *any_of(Decision.charter_id, charter_id),
        *any_of(Decision.subject_id, subject_id),
        *any_of(Decision.outcome, outcome),
    )
    return Listing(wanted, Decision)


def escalations(
    *,
    charter_id: Sequence[UUID] | None = None,
    state: Sequence[EscalationState] | None = None,
    subject_id: Sequence[UUID] | None = None,
) -> Listing[Escalation]:
    """The register of escalations. Each filter takes any of several values."""
    wanted = select(Escalation).where(
        *any_of(Escalation.charter_id, charter_id),
        *any_of(Escalation.state, state),
        *any_of(Escalation.subject_id, subject_id),
    )
    return Listing(wanted, Escalation)


async def open_matter(session: AsyncSession, subject_id: UUID, decision_class: str) -> Matter | None:
    """The subject's open matter under that class; there is at most one."""
    result = await session.scalars(
        select(Matter).where(
            Matter.subject_id == subject_id,
            Matter.decision_class == decision_class,
            Matter.state == MatterState.open,
        )
    )
    return result.one_or_none()


async def standing_positions(session: AsyncSession, matter_id: UUID) -> Sequence[Position]:
    """The positions that count now; at most one per party."""
    result = await session.scalars(
        select(Position).where(Position.matter_id == matter_id, Position.status == PositionStatus.standing)
    )
    return result.all()


async def open_escalation(session: AsyncSession, matter_id: UUID) -> Escalation | None:
    """The matter's open escalation, locked; there is at most one."""
    result = await session.scalars(
        select(Escalation)
        .where(Escalation.matter_id == matter_id, Escalation.state == EscalationState.open)
        .with_for_update()
    )
    return result.one_or_none()
