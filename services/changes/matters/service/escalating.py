"""Taking a request to the next body: by a member's reason, by an expired clock, by a deadlock."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.change_requests.domain import CHANGE, ChangeAction
from services.changes.change_requests.models import ChangeRequest
from services.changes.change_requests.schemas import ChangeEscalate
from services.changes.matters import policy, queries
from services.changes.matters.domain.ballot import BallotStatus
from services.changes.matters.domain.escalation import (
    Cause,
    EscalationState,
    body_after_expiry,
    elevated_at,
    next_body,
)
from services.changes.matters.models import Escalation
from services.changes.matters.service.trail import (
    detailed,
    place,
    routed,
    step,
)
from shared.contracts.changes import (
    CHANGE as SUBJECT_KIND,
)
from shared.contracts.changes import (
    ChangeClockWarned,
    EscalationClosed,
    EscalationElevated,
    EscalationRaised,
)
from shared.contracts.governance import Body, ExecutableCharter
from shared.data.directory import governance
from shared.data.history import Act, record, timeline
from shared.data.numbering import next_number
from shared.data.session import load, load_for_update
from shared.web.authz import SYSTEM, Actor, Principal, require


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Why a request goes up, and since when the next body has it."""

    cause: Cause
    reason_code: str
    what_was_tried: str
    accepted_at: datetime


async def escalate(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeEscalate,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """A member takes the request to the next body; refuses `no_higher_body` at the last rung."""
    row = await load_for_update(session, ChangeRequest, change_id, expected)
    require(caller, policy.ESCALATE_CHANGE, row.scope)
    content = (await governance(session, row.charter_id, row.charter_version)).content
    CHANGE.next(row.state, ChangeAction.escalate)
    ascent = Ascent(
        cause=Cause.member, reason_code=form.reason_code, what_was_tried=form.what_was_tried, accepted_at=now
    )
    await elevate(session, row, content, next_body(content, row.body or ""), ascent, by=caller, now=now)
    return await detailed(session, row)


async def elevate(
    session: AsyncSession,
    row: ChangeRequest,
    content: ExecutableCharter,
    to: Body,
    ascent: Ascent,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Move the request up: former votes are void, a new clock starts, the escalation gains a rung."""
    from_body = row.body or ""
    row.state = CHANGE.next(row.state, ChangeAction.escalate)
    await void_ballots(session, row)
    place(row, content, to, ascent.accepted_at)
    escalation = await queries.open_escalation(session, row.id) or await _raised(
        session, row, from_body, ascent, now
    )
    row.escalation_id = escalation.id
    escalation.body, escalation.clock_ends_at = to.key, row.clock_ends_at
    note = f"{ascent.cause}: {from_body} to {to.key}. {ascent.what_was_tried}".strip()
    await record(session, row, step(row, routed(row), "change.elevate", note), by=by, now=now)
    await _record_rung(session, row, escalation, from_body, ascent, by=by, now=now)


async def elevate_expired(session: AsyncSession, row: ChangeRequest, now: datetime) -> None:
    """The clock has ended: the next body hears it, or it stays and says so once."""
    content = (await governance(session, row.charter_id, row.charter_version)).content
    ended = row.clock_ends_at or now
    row.clock_expired_at = ended
    to = body_after_expiry(content, row.body or "", row.severity)
    if to is None:
        note = f"The clock of the {row.body_name} has ended; the request stays there."
        ended_here = step(row, clock_warned(row), "change.clock_ended", note)
        await record(session, row, ended_here, by=SYSTEM, now=now)
        return
    ascent = Ascent(
        cause=Cause.clock,
        reason_code="clock_expired",
        what_was_tried=f"Not decided by the {row.body_name} in time.",
        accepted_at=elevated_at(content, to.key, row.severity, ended, now),
    )
    await elevate(session, row, content, to, ascent, by=SYSTEM, now=now)


async def warn(session: AsyncSession, row: ChangeRequest, now: datetime) -> None:
    """Say once per rung that three quarters of the clock have run."""
    row.clock_warned_at = now
    await record(session, row, step(row, clock_warned(row), "change.clock_warn"), by=SYSTEM, now=now)


def clock_warned(row: ChangeRequest) -> ChangeClockWarned:
    return ChangeClockWarned(
        change_id=row.id,
        number=row.number,
        title=row.title,
        body=row.body or "",
        clock_ends_at=row.clock_ends_at or row.updated_at,
    )


async def close_escalation(
    session: AsyncSession, row: ChangeRequest, outcome: str, *, by: Actor, now: datetime
) -> None:
    """End the request's open escalation, if it has one."""
    escalation = await queries.open_escalation(session, row.id)
    if escalation is None:
        return
    escalation.state, escalation.outcome, escalation.closed_at = EscalationState.closed, outcome, now
    escalation.clock_ends_at = None
    event = EscalationClosed.model_validate(
        {
            "escalation_id": escalation.id,
            "subject_kind": SUBJECT_KIND,
            "subject_id": row.id,
            "subject_number": row.number,
            "outcome": outcome,
        }
    )
    await record(session, escalation, Act("escalation.close", event), by=by, now=now)


async def void_ballots(session: AsyncSession, row: ChangeRequest) -> None:
    """Votes of a body that no longer decides stay on record and count no more."""
    for ballot in await queries.standing_ballots(session, row.id):
        ballot.status = BallotStatus.void


async def get(session: AsyncSession, caller: Principal, escalation_id: UUID) -> Escalation:
    row = await load(session, Escalation, escalation_id)
    require(caller, policy.READ_ESCALATIONS, row.scope)
    row.timeline = await timeline(session, row.id)
    return row


async def _raised(
    session: AsyncSession, row: ChangeRequest, from_body: str, ascent: Ascent, now: datetime
) -> Escalation:
    return Escalation(
        charter_id=row.charter_id,
        customer_org_id=row.customer_org_id,
        provider_org_id=row.provider_org_id,
        visibility=row.visibility,
        number=await next_number(session, "ESC", row.charter_id, now),
        subject_kind=SUBJECT_KIND,
        subject_id=row.id,
        subject_number=row.number,
        title=row.title,
        severity=row.severity,
        state=EscalationState.open,
        from_body=from_body,
        cause=ascent.cause,
        reason_code=ascent.reason_code,
    )


async def _record_rung(
    session: AsyncSession,
    row: ChangeRequest,
    escalation: Escalation,
    from_body: str,
    ascent: Ascent,
    *,
    by: Actor,
    now: datetime,
) -> None:
    session.add(escalation)
    event = _rung_event(row, escalation, from_body, ascent)
    action = "escalation.elevate" if escalation.version else "escalation.raise"
    rung = {
        "from_body": from_body,
        "to_body": escalation.body,
        "cause": ascent.cause,
        "reason_code": ascent.reason_code,
        "what_was_tried": ascent.what_was_tried,
        "clock_ends_at": row.clock_ends_at,
    }
    await record(session, escalation, Act(action, event, rung), by=by, now=now)


def _rung_event(
    row: ChangeRequest, escalation: Escalation, from_body: str, ascent: Ascent
) -> EscalationRaised | EscalationElevated:
    """Raised at the first rung, elevated at every further one."""
    kind = EscalationElevated if escalation.version else EscalationRaised
    return kind(
        escalation_id=escalation.id,
        subject_kind="change_request",
        subject_id=row.id,
        subject_number=row.number,
        title=row.title,
        from_body=from_body,
        to_body=escalation.body,
        cause=ascent.cause.value,
        reason_code=ascent.reason_code,
        severity=row.severity,
        clock_ends_at=row.clock_ends_at,
    )
