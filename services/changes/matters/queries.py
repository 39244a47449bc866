"""The selects of decisions, escalations, ballots and clocks that deserve a name."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.change_requests.domain import ChangeState
from services.changes.change_requests.models import ChangeRequest
from services.changes.matters.domain.ballot import BallotStatus
from services.changes.matters.domain.escalation import EscalationState
from services.changes.matters.models import BallotRow, Decision, Escalation
from shared.data.listing import Listing, any_of

TIMER_BATCH = 50


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


async def standing_ballots(session: AsyncSession, change_id: UUID) -> Sequence[BallotRow]:
    """The votes that count now; at most one per party."""
    found = await session.scalars(
        select(BallotRow).where(BallotRow.change_id == change_id, BallotRow.status == BallotStatus.standing)
    )
    return found.all()


async def open_escalation(session: AsyncSession, subject_id: UUID) -> Escalation | None:
    """The item's open escalation, locked; there is at most one."""
    found = await session.scalars(
        select(Escalation)
        .where(Escalation.subject_id == subject_id, Escalation.state == EscalationState.open)
        .with_for_update()
    )
    return found.one_or_none()


async def expired_clocks(session: AsyncSession, now: datetime) -> Sequence[ChangeRequest]:
    """Requests whose clock has run out unnoticed, claimed for this transaction."""
    return await _claim(session, ChangeRequest.clock_ends_at <= now, ChangeRequest.clock_expired_at.is_(None))


async def clocks_to_warn_of(session: AsyncSession, now: datetime) -> Sequence[ChangeRequest]:
    """Requests past their warning but not past their end, claimed for this transaction."""
    return await _claim(
        session,
        ChangeRequest.clock_warns_at <= now,
        ChangeRequest.clock_ends_at > now,
        ChangeRequest.clock_warned_at.is_(None),
    )


async def _claim(session: AsyncSession, *due: ColumnElement[bool]) -> Sequence[ChangeRequest]:
    found = await session.scalars(
        select(ChangeRequest)
        .where(ChangeRequest.state == ChangeState.pending_decision, *due)
        .order_by(ChangeRequest.clock_ends_at)
        .limit(TIMER_BATCH)
        .with_for_update(skip_locked=True)
    )
    return found.all()
