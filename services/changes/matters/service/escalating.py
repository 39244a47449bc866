"""Taking a matter to the next body: by a member's reason, by an ended clock, by a deadlock."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters import policy, queries
from services.changes.matters.domain.escalation import (
    Cause,
    EscalationState,
    body_after_expiry,
    clock_of,
    elevated_at,
    next_body,
)
from services.changes.matters.domain.states import MATTER, MatterAction
from services.changes.matters.domain.voting import PositionStatus
from services.changes.matters.models import Escalation, Matter
from services.changes.matters.schemas import ChangeEscalate
from services.changes.matters.service import reading
from services.changes.matters.service.placing import about, asks, place, received, step
from services.changes.matters.service.subjects import touch
from shared.contracts.changes import (
    EscalationClosed,
    EscalationElevated,
    EscalationRaised,
    MatterClockEnded,
    MatterClockFact,
    MatterClockHalfway,
    MatterClockWarned,
    MatterEscalated,
)
from shared.contracts.governance import Body, ExecutableCharter
from shared.data.directory import governance
from shared.data.history import Act, record
from shared.data.numbering import next_number
from shared.data.session import load_for_update
from shared.runtime.due import Step
from shared.web.authz import SYSTEM, Action, Actor, Principal, require


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Why a matter goes up, and since when the next body has it."""

    cause: Cause
    reason_code: str
    what_was_tried: str
    accepted_at: datetime


async def escalate_by_id(
    session: AsyncSession,
    caller: Principal,
    matter_id: UUID,
    form: ChangeEscalate,
    expected: int,
    now: datetime,
) -> Matter:
    """`escalate` in the version the caller read."""
    matter = await load_for_update(session, Matter, matter_id, expected)
    await escalate(session, caller, policy.ESCALATE_MATTER, matter, form, now)
    return await reading.detailed(session, matter)


async def escalate(
    session: AsyncSession,
    caller: Principal,
    action: Action,
    matter: Matter,
    form: ChangeEscalate,
    now: datetime,
) -> None:
    """A member takes the locked matter to the next body; refuses `no_higher_body` at the last rung."""
    require(caller, action, matter.scope)
    MATTER.next(matter.state, MatterAction.elevate)
    content = (await governance(session, matter.charter_id, matter.charter_version)).content
    ascent = Ascent(
        cause=Cause.member, reason_code=form.reason_code, what_was_tried=form.what_was_tried, accepted_at=now
    )
    to = next_body(content, matter.body or "")
    await elevate(session, matter, content, to, ascent, by=caller, now=now)


async def elevate(
    session: AsyncSession,
    matter: Matter,
    content: ExecutableCharter,
    to: Body,
    ascent: Ascent,
    *,
    by: Actor,
    now: datetime,
) -> None:
    """Move the matter up: former votes are void, a new clock starts, the escalation gains a rung."""
    from_body = matter.body or ""
    matter.state = MATTER.next(matter.state, MatterAction.elevate)
    await void_positions(session, matter)
    clock = clock_of(content, to.key, matter.severity, ascent.accepted_at)
    await place(session, matter, content, to, clock)
    escalation = await queries.open_escalation(session, matter.id) or await _raised(
        session, matter, from_body, ascent, now
    )
    matter.escalation_id = escalation.id
    escalation.body, escalation.clock_ends_at = to.key, matter.clock_ends_at
    await touch(session, matter, now)
    await record(session, matter, _elevated(matter, to, from_body, ascent), by=by, now=now)
    await _record_rung(session, matter, escalation, from_body, ascent, by=by, now=now)


def _elevated(matter: Matter, to: Body, from_body: str, ascent: Ascent) -> Act:
    event = MatterEscalated(
        **about(matter, asks(matter, to)),
        **received(matter),
        escalation_id=matter.escalation_id,
        from_body=from_body,
        cause=ascent.cause,
        reason_code=ascent.reason_code,
    )
    note = f"{ascent.cause}: {from_body} to {to.key}. {ascent.what_was_tried}".strip()
    return step(matter, event, "matter.elevate", note)


async def clock_step(session: AsyncSession, matter: Matter, step: Step, now: datetime) -> None:
    """What the clock of the body that has the locked matter says: at half, at three quarters, at its end."""
    match step.name:
        case "halfway":
            await halfway(session, matter, now)
        case "warning":
            await warn(session, matter, now)
        case _:
            await end_clock(session, matter, now)


async def halfway(session: AsyncSession, matter: Matter, now: datetime) -> None:
    """Say once per clock that half of it has run."""
    await _clock_fact(session, matter, MatterClockHalfway, "matter.clock_halfway", now)


async def warn(session: AsyncSession, matter: Matter, now: datetime) -> None:
    """Say once per clock that three quarters of it have run."""
    matter.clock_warned_at = now
    await _clock_fact(session, matter, MatterClockWarned, "matter.clock_warn", now)


async def end_clock(session: AsyncSession, matter: Matter, now: datetime) -> None:
    """The clock has ended: the next body has the matter, or it stays and says so once."""
    content = (await governance(session, matter.charter_id, matter.charter_version)).content
    ended = matter.clock_ends_at or now
    matter.clock_expired_at = ended
    to = body_after_expiry(content, matter.body or "", matter.severity)
    if to is None:
        note = f"The clock of the {matter.body_name} has ended; the matter stays there."
        await _clock_fact(session, matter, MatterClockEnded, "matter.clock_end", now, note)
        return
    ascent = Ascent(
        cause=Cause.clock,
        reason_code="clock_expired",
        what_was_tried=f"Not decided by the {matter.body_name} in time.",
        accepted_at=elevated_at(content, to.key, matter.severity, ended, now),
    )
    await elevate(session, matter, content, to, ascent, by=SYSTEM, now=now)


async def _clock_fact(
    session: AsyncSession,
    matter: Matter,
    kind: type[MatterClockFact],
    action: str,
    now: datetime,
    note: str = "",
) -> None:
    content = (await governance(session, matter.charter_id, matter.charter_version)).content
    standing = await queries.standing_positions(session, matter.id)
    event = kind(
        **about(matter, asks(matter, content.body(matter.body or ""), standing)),
        body=matter.body,
        severity=matter.severity,
        clock_ends_at=matter.clock_ends_at,
    )
    await touch(session, matter, now)
    await record(session, matter, step(matter, event, action, note), by=SYSTEM, now=now)


async def close_escalation(
    session: AsyncSession, matter: Matter, outcome: str, *, by: Actor, now: datetime
) -> None:
    """End the matter's open escalation, if it has one."""
    escalation = await queries.open_escalation(session, matter.id)
    if escalation is None:
        return
    escalation.state, escalation.outcome, escalation.closed_at = EscalationState.closed, outcome, now
    escalation.clock_ends_at = None
    event = EscalationClosed(
        escalation_id=escalation.id,
        subject_kind=matter.subject_kind,
        subject_id=matter.subject_id,
        subject_number=matter.subject_number,
        outcome=outcome,
    )
    await record(session, escalation, Act("escalation.close", event), by=by, now=now)


async def void_positions(session: AsyncSession, matter: Matter) -> None:
    """Votes of a body that no longer decides, or on another text, stay on record and count no more."""
    for position in await queries.standing_positions(session, matter.id):
        position.status = PositionStatus.void


async def _raised(
    session: AsyncSession, matter: Matter, from_body: str, ascent: Ascent, now: datetime
) -> Escalation:
    return Escalation(
        **matter.scope.columns(),
        number=await next_number(session, "ESC", matter.charter_id, now),
        matter_id=matter.id,
        subject_kind=matter.subject_kind,
        subject_id=matter.subject_id,
        subject_number=matter.subject_number,
        title=matter.title,
        severity=matter.severity,
        state=EscalationState.open,
        from_body=from_body,
        cause=ascent.cause,
        reason_code=ascent.reason_code,
    )


async def _record_rung(
    session: AsyncSession,
    matter: Matter,
    escalation: Escalation,
    from_body: str,
    ascent: Ascent,
    *,
    by: Actor,
    now: datetime,
) -> None:
    session.add(escalation)
    event = _rung_event(matter, escalation, from_body, ascent)
    action = "escalation.elevate" if escalation.version else "escalation.raise"
    rung = {
        "from_body": from_body,
        "to_body": escalation.body,
        "cause": ascent.cause,
        "reason_code": ascent.reason_code,
        "what_was_tried": ascent.what_was_tried,
        "clock_ends_at": matter.clock_ends_at,
    }
    await record(session, escalation, Act(action, event, rung), by=by, now=now)


def _rung_event(
    matter: Matter, escalation: Escalation, from_body: str, ascent: Ascent
) -> EscalationRaised | EscalationElevated:
    """Raised at the first rung, elevated at every further one."""
    kind = EscalationElevated if escalation.version else EscalationRaised
    return kind(
        escalation_id=escalation.id,
        subject_kind=matter.subject_kind,
        subject_id=matter.subject_id,
        subject_number=matter.subject_number,
        title=matter.title,
        from_body=from_body,
        to_body=escalation.body,
        cause=ascent.cause.value,
        reason_code=ascent.reason_code,
        severity=matter.severity,
        clock_ends_at=matter.clock_ends_at,
    )
