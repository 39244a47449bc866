"""The selects of the change log that deserve a name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.domain.change_log import BallotStatus
from services.changes.domain.escalation import EscalationState
from services.changes.domain.states import ChangeState
from services.changes.models import BallotRow, ChangeRequest, Decision, Escalation
from shared.domain.governance import Severity

TIMER_BATCH = 50


@dataclass(frozen=True, kw_only=True)
class ChangeFilter:
    """Which change requests to list; None does not restrict. `since` is the time of the last change."""

    charter_id: UUID | None = None
    state: ChangeState | None = None
    body: str | None = None
    severity: Severity | None = None
    since: datetime | None = None


def change_requests(wanted: ChangeFilter) -> Select[ChangeRequest]:
    restrictions = (
        (wanted.charter_id, ChangeRequest.charter_id == wanted.charter_id),
        (wanted.state, ChangeRequest.state == wanted.state),
        (wanted.body, ChangeRequest.body == wanted.body),
        (wanted.severity, ChangeRequest.severity == wanted.severity),
        (wanted.since, ChangeRequest.updated_at >= wanted.since),
    )
    return select(ChangeRequest).where(*(clause for value, clause in restrictions if value is not None))


def decisions(
    charter_id: UUID | None, subject_id: UUID | None, outcome: str | None, since: datetime | None
) -> Select[Decision]:
    restrictions = (
        (charter_id, Decision.charter_id == charter_id),
        (subject_id, Decision.subject_id == subject_id),
        (outcome, Decision.outcome == outcome),
        (since, Decision.created_at >= since),
    )
    return select(Decision).where(*(clause for value, clause in restrictions if value is not None))


def escalations(
    charter_id: UUID | None, state: EscalationState | None, subject_id: UUID | None, since: datetime | None
) -> Select[Escalation]:
    restrictions = (
        (charter_id, Escalation.charter_id == charter_id),
        (state, Escalation.state == state),
        (subject_id, Escalation.subject_id == subject_id),
        (since, Escalation.updated_at >= since),
    )
    return select(Escalation).where(*(clause for value, clause in restrictions if value is not None))


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
