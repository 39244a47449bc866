"""Voting on a matter, and what two votes lead to: a decision, or the next body."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters import policy, queries
from services.changes.matters.domain.escalation import Cause, next_body
from services.changes.matters.domain.kinds import kind_of
from services.changes.matters.domain.states import MATTER, MatterAction
from services.changes.matters.domain.voting import (
    Outcome,
    PositionStatus,
    Vote,
    Voter,
    cast,
    check_voter,
    outcome,
    voting_seats,
)
from services.changes.matters.models import Decision, Matter, Position
from services.changes.matters.schemas import ChangeDecide
from services.changes.matters.service import reading, subjects
from services.changes.matters.service.escalating import Ascent, close_escalation, elevate
from services.changes.matters.service.placing import about, asks, child_of, step, stop_clock
from shared.contracts.changes import MatterDecided, MatterPositionTaken
from shared.contracts.governance import Body, Party
from shared.data.directory import Governance, governance
from shared.data.history import Act, record
from shared.data.numbering import next_number
from shared.data.session import load_for_update
from shared.pure.refusal import Refused
from shared.web.authz import SYSTEM, Action, Principal


async def decide_by_id(
    session: AsyncSession,
    caller: Principal,
    matter_id: UUID,
    form: ChangeDecide,
    expected: int,
    now: datetime,
) -> Matter:
    """`decide` in the version the caller read."""
    matter = await load_for_update(session, Matter, matter_id, expected)
    await decide(session, caller, policy.DECIDE_MATTER, matter, form, now)
    return await reading.detailed(session, matter)


async def decide(
    session: AsyncSession,
    caller: Principal,
    action: Action,
    matter: Matter,
    form: ChangeDecide,
    now: datetime,
) -> None:
    """Take the position of the caller's seat on the locked matter; with the other party's it decides or deadlocks."""
    party = policy.acting_party(caller, action, matter.scope)
    MATTER.next(matter.state, MatterAction.vote)
    _check_offered(matter, form.vote)
    charter = await governance(session, matter.charter_id, matter.charter_version)
    body = charter.content.body(matter.body or "")
    voter = Voter(member_id=str(caller.member_id), party=party, roles=caller.roles)
    requester = str(matter.requester_id) if matter.requester_id else None
    position = _position(matter, caller, party, body, check_voter(body, voter, requester), form, now)
    standing = await _cast(session, matter, position)
    taken = _taken(matter, body, position, standing)
    match outcome(standing):
        case None:
            await _record(session, matter, taken, caller, now)
        case Outcome.deadlocked:
            await _record(session, matter, taken, caller, now)
            await _resolve_deadlock(session, matter, charter, now)
        case agreed:
            await _conclude(session, matter, caller, charter, taken, standing, agreed, now)


def _check_offered(matter: Matter, vote: Vote) -> None:
    offered = kind_of(matter.subject_kind).outcomes
    if vote not in offered:
        raise Refused(
            "outcome_not_offered", f"On this kind of matter one may {' or '.join(sorted(offered))}.", "/vote"
        )


def _position(
    matter: Matter,
    caller: Principal,
    party: Party,
    body: Body,
    seat: str,
    form: ChangeDecide,
    now: datetime,
) -> Position:
    return Position(
        **child_of(matter, now),
        **form.model_dump(),
        matter_id=matter.id,
        entry=matter.entry,
        body=body.key,
        seat=seat,
        role=voting_seats(body)[seat].role,
        party=party,
        member_id=caller.member_id,
        member_name=caller.display_name,
        member_roles=sorted(caller.roles),
        status=PositionStatus.standing,
    )


async def _cast(session: AsyncSession, matter: Matter, position: Position) -> Sequence[Position]:
    """The standing positions with the new one among them, in place of its party's former one."""
    before = await queries.standing_positions(session, matter.id)
    standing = cast(before, position)
    for former in before:
        if former not in standing:
            former.status = PositionStatus.replaced
    # The index allows one standing position per party, so the former one must go first.
    await session.flush()
    session.add(position)
    return standing


def _taken(matter: Matter, body: Body, position: Position, standing: Sequence[Position]) -> Act:
    event = MatterPositionTaken(
        **about(matter, asks(matter, body, standing)),
        body=body.key,
        seat=position.seat,
        party=position.party,
        role=position.role,
        vote=position.vote,
    )
    return step(matter, event, "matter.vote", f"{position.party}: {position.vote}. {position.rationale}")


async def _record(
    session: AsyncSession, matter: Matter, taken: Act, caller: Principal, now: datetime
) -> None:
    await subjects.touch(session, matter, now)
    await record(session, matter, taken, by=caller, now=now)


async def _resolve_deadlock(
    session: AsyncSession, matter: Matter, charter: Governance, now: datetime
) -> None:
    """The next body has it. At the last rung both votes stand until one party gives way."""
    content = charter.content
    if content.body(matter.body or "").parent is None:
        return
    ascent = Ascent(
        cause=Cause.deadlock,
        reason_code="deadlock",
        what_was_tried=f"The parties voted differently in the {matter.body_name}.",
        accepted_at=now,
    )
    await elevate(session, matter, content, next_body(content, matter.body or ""), ascent, by=SYSTEM, now=now)


async def _conclude(
    session: AsyncSession,
    matter: Matter,
    caller: Principal,
    charter: Governance,
    taken: Act,
    standing: Sequence[Position],
    agreed: Outcome,
    now: datetime,
) -> None:
    for position in standing:
        position.status = PositionStatus.counted
    matter.state = MATTER.next(matter.state, MatterAction.decide)
    await stop_clock(session, matter)
    decision = await _decision(session, matter, charter, standing, agreed, now)
    session.add(decision)
    matter.decision_id, matter.decided_at = decision.id, now
    await record(session, matter, taken, _decided(matter, decision), by=caller, now=now)
    await close_escalation(session, matter, agreed, by=caller, now=now)
    await subjects.apply(session, matter, decision, caller, now)


async def _decision(
    session: AsyncSession,
    matter: Matter,
    charter: Governance,
    standing: Sequence[Position],
    agreed: Outcome,
    now: datetime,
) -> Decision:
    await session.refresh(matter, ["subject_text", "text_format"])
    return Decision(
        **child_of(matter, now),
        number=await next_number(session, "DEC", matter.charter_id, now),
        matter_id=matter.id,
        decision_class=matter.decision_class,
        subject_kind=matter.subject_kind,
        subject_id=matter.subject_id,
        subject_number=matter.subject_number,
        question=matter.question,
        outcome=agreed,
        conditions=_by_party(standing, "conditions"),
        rationale=_by_party(standing, "rationale"),
        dissent=_by_party(standing, "dissent"),
        votes=[_as_vote(position) for position in standing],
        body=matter.body,
        body_name=matter.body_name,
        tier=matter.tier,
        charter_version=matter.charter_version,
        charter_content_hash=charter.content_hash,
        rules=matter.rules,
        subject_snapshot=subjects.snapshot(matter),
        subject_hash=matter.subject_hash,
        subject_text=matter.subject_text,
        text_format=matter.text_format,
    )


def _by_party(standing: Sequence[Position], field: str) -> str:
    """What either party wrote, each line under its name."""
    lines = ((each.party, getattr(each, field)) for each in sorted(standing, key=lambda each: each.party))
    return "\n".join(f"{party}: {words}" for party, words in lines if words)


def _as_vote(position: Position) -> dict[str, object]:
    return {
        "party": position.party,
        "member_id": str(position.member_id),
        "member_name": position.member_name,
        "member_roles": position.member_roles,
        "vote": position.vote,
        "rationale": position.rationale,
        "conditions": position.conditions,
        "dissent": position.dissent,
        "cast_at": position.created_at.isoformat(),
    }


def _decided(matter: Matter, decision: Decision) -> Act:
    event = MatterDecided(
        **about(matter),
        decision_id=decision.id,
        decision_number=decision.number,
        decision_class=decision.decision_class,
        outcome=decision.outcome,
        subject_hash=decision.subject_hash,
        body=decision.body,
        conditions=decision.conditions,
        reason=decision.rationale,
    )
    note = f"{decision.number}: {decision.outcome} by the {decision.body_name}"
    detail = {"decision": decision.number, "subject_hash": decision.subject_hash, "rules": decision.rules}
    return step(matter, event, "matter.decide", note, detail)
