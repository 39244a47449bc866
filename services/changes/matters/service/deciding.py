"""Voting on a change request, and what two votes lead to: a decision, or the next body."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.change_requests.domain import CHANGE, DECIDING, ChangeAction
from services.changes.change_requests.models import ChangeRequest
from services.changes.change_requests.schemas import ChangeDecide
from services.changes.matters import policy, queries
from services.changes.matters.domain.ballot import (
    Ballot,
    BallotStatus,
    Outcome,
    Voter,
    cast,
    check_voter,
    fingerprint,
    outcome,
)
from services.changes.matters.domain.escalation import Cause, next_body
from services.changes.matters.models import BallotRow, Decision
from services.changes.matters.service.escalating import Ascent, close_escalation, elevate
from services.changes.matters.service.trail import child_of, detailed, step
from shared.contracts.base import Event
from shared.contracts.changes import (
    CHANGE as SUBJECT_KIND,
)
from shared.contracts.changes import (
    BallotCast,
    ChangeApproved,
    ChangeDeferred,
    ChangeRejected,
)
from shared.contracts.governance import Party
from shared.data.directory import Governance, governance
from shared.data.history import record
from shared.data.numbering import next_number
from shared.data.session import load, load_for_update
from shared.web.authz import SYSTEM, Principal, require

SNAPSHOT = (
    "number",
    "title",
    "type",
    "category",
    "description",
    "justification",
    "consequence_of_not_doing",
    "back_out_plan",
    "severity",
    "origin",
    "requester_id",
    "impact",
)


async def get_decision(session: AsyncSession, caller: Principal, decision_id: UUID) -> Decision:
    row = await load(session, Decision, decision_id)
    require(caller, policy.READ_DECISIONS, row.scope)
    return row


async def decide(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeDecide,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """Cast the vote of the caller's party; with the other party's vote it decides or deadlocks."""
    row = await load_for_update(session, ChangeRequest, change_id, expected)
    party = policy.acting_party(caller, policy.DECIDE_CHANGE, row.scope)
    CHANGE.next(row.state, ChangeAction.approve)
    charter = await governance(session, row.charter_id, row.charter_version)
    body = charter.content.body(row.body or "")
    voter = Voter(member_id=str(caller.member_id), party=party, roles=caller.roles)
    check_voter(body, voter, str(row.requester_id))
    ballots = await _cast(session, row, caller, party, form, now)
    match outcome(map(_as_ballot, ballots)):
        case None:
            pass
        case Outcome.deadlocked:
            await _resolve_deadlock(session, row, charter, now)
        case agreed:
            await _conclude(session, row, caller, charter, ballots, agreed, now)
    return await detailed(session, row)


async def _cast(
    session: AsyncSession,
    row: ChangeRequest,
    caller: Principal,
    party: Party,
    form: ChangeDecide,
    now: datetime,
) -> list[BallotRow]:
    """The standing ballots with the new one among them."""
    before = await queries.standing_ballots(session, row.id)
    ballot = BallotRow(
        **child_of(row, now),
        **form.model_dump(),
        change_id=row.id,
        rung=row.rung,
        body=row.body,
        party=party,
        member_id=caller.member_id,
        member_name=caller.display_name,
        member_roles=sorted(caller.roles),
        status=BallotStatus.standing,
    )
    cast(map(_as_ballot, before), _as_ballot(ballot))
    for former in before:
        if former.party is party:
            former.status = BallotStatus.replaced
    # The index allows one standing vote per party, so the former one must go first.
    await session.flush()
    session.add(ballot)
    event = BallotCast(
        change_id=row.id, number=row.number, body=row.body or "", party=party, vote=ballot.vote.value
    )
    note = f"{party}: {ballot.vote}. {ballot.rationale}"
    await record(session, row, step(row, event, "change.vote", note), by=caller, now=now)
    return [*(other for other in before if other.party is not party), ballot]


def _as_ballot(row: BallotRow) -> Ballot:
    return Ballot(
        party=row.party,
        member_id=str(row.member_id),
        vote=row.vote,
        rationale=row.rationale,
        conditions=row.conditions,
        dissent=row.dissent,
    )


async def _resolve_deadlock(
    session: AsyncSession, row: ChangeRequest, charter: Governance, now: datetime
) -> None:
    """The next body hears it. At the last rung both votes stand until one party gives way."""
    content = charter.content
    if content.body(row.body or "").parent is None:
        return
    ascent = Ascent(
        cause=Cause.deadlock,
        reason_code="deadlock",
        what_was_tried=f"The parties voted differently in the {row.body_name}.",
        accepted_at=now,
    )
    await elevate(session, row, content, next_body(content, row.body or ""), ascent, by=SYSTEM, now=now)


async def _conclude(
    session: AsyncSession,
    row: ChangeRequest,
    caller: Principal,
    charter: Governance,
    ballots: Sequence[BallotRow],
    agreed: Outcome,
    now: datetime,
) -> None:
    for ballot in ballots:
        ballot.status = BallotStatus.counted
    decision = _decision(row, charter, ballots, agreed, now)
    decision.number = await next_number(session, "DEC", row.charter_id, now)
    session.add(decision)
    row.state = CHANGE.next(row.state, DECIDING[agreed])
    row.decision_id, row.decided_at = decision.id, now
    note = f"{decision.number}: {agreed} by the {row.body_name}"
    detail = {"decision": decision.number, "subject_hash": decision.subject_hash, "rules": decision.rules}
    concluded = step(row, _concluded(row, decision, agreed), f"change.{DECIDING[agreed]}", note, detail)
    await record(session, row, concluded, by=caller, now=now)
    await close_escalation(session, row, agreed, by=caller, now=now)


def _decision(
    row: ChangeRequest, charter: Governance, ballots: Sequence[BallotRow], agreed: Outcome, now: datetime
) -> Decision:
    snapshot = {name: _plain(getattr(row, name)) for name in SNAPSHOT}
    return Decision(
        **child_of(row, now),
        decision_class=f"change.{row.type}",
        subject_kind=SUBJECT_KIND,
        subject_id=row.id,
        subject_number=row.number,
        question=f"Shall {row.number} ({row.title}) be carried out?",
        outcome=agreed,
        conditions=_by_party(ballots, "conditions"),
        rationale=_by_party(ballots, "rationale"),
        dissent=_by_party(ballots, "dissent"),
        votes=[_as_vote(ballot) for ballot in ballots],
        body=row.body,
        body_name=row.body_name,
        tier=row.tier,
        charter_version=row.charter_version,
        charter_content_hash=charter.content_hash,
        rules=row.rules,
        subject_snapshot=snapshot,
        subject_hash=fingerprint(snapshot),
    )


def _plain(value: object) -> object:
    return value if isinstance(value, dict) else str(value)


def _by_party(ballots: Sequence[BallotRow], field: str) -> str:
    """What either party wrote, each line under its name."""
    lines = ((ballot.party, getattr(ballot, field)) for ballot in sorted(ballots, key=lambda b: b.party))
    return "\n".join(f"{party}: {words}" for party, words in lines if words)


def _as_vote(ballot: BallotRow) -> dict[str, object]:
    return {
        "party": ballot.party,
        "member_id": str(ballot.member_id),
        "member_name": ballot.member_name,
        "member_roles": ballot.member_roles,
        "vote": ballot.vote,
        "rationale": ballot.rationale,
        "conditions": ballot.conditions,
        "dissent": ballot.dissent,
        "cast_at": ballot.created_at.isoformat(),
    }


def _concluded(row: ChangeRequest, decision: Decision, agreed: Outcome) -> Event:
    common = {
        "change_id": row.id,
        "number": row.number,
        "title": row.title,
        "decision_id": decision.id,
        "body": decision.body,
        "conditions": decision.conditions,
        "reason": decision.rationale,
    }
    kinds: dict[Outcome, type[Event]] = {
        Outcome.approved: ChangeApproved,
        Outcome.rejected: ChangeRejected,
        Outcome.deferred: ChangeDeferred,
    }
    return kinds[agreed].model_validate(common)
