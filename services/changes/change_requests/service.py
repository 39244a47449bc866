"""A change request from submission to the decision: its impact, its matter, what the decision makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.changes.change_requests import policy
from services.changes.change_requests.domain import (
    CHANGE,
    DECIDING,
    ChangeAction,
    ChangeState,
    ChangeType,
    severity_of,
)
from services.changes.change_requests.models import ChangeRequest
from services.changes.change_requests.schemas import (
    ChangeAssess,
    ChangeCreate,
    ChangeResume,
    ChangeWithdraw,
    RoutePreviewCreate,
)
from services.changes.matters.domain.impact import Impact
from services.changes.matters.domain.kinds import MatterKind
from services.changes.matters.domain.routing import RequestReason, Route, route_to
from services.changes.matters.domain.voting import Outcome
from services.changes.matters.models import Decision, Matter
from services.changes.matters.policy import acting_party
from services.changes.matters.schemas import ChangeDecide, ChangeEscalate
from services.changes.matters.service import deciding, escalating, putting
from services.changes.matters.service.placing import as_text
from services.changes.matters.service.subjects import Subject, SubjectText
from shared.contracts.base import Event
from shared.contracts.changes import (
    ChangeApproved,
    ChangeAssessed,
    ChangeDeferred,
    ChangeRejected,
    ChangeResumed,
    ChangeSubmitted,
    ChangeWithdrawn,
)
from shared.contracts.governance import ExecutableCharter, Party
from shared.contracts.matters import MatterPut
from shared.data.direct import Direct
from shared.data.directory import Governance, governance, numbered_governance
from shared.data.history import Act, Entry, record, timeline
from shared.data.ids import uuid7
from shared.data.session import load, load_for_update
from shared.pure.canonical import canonical_bytes
from shared.pure.hashing import sha256_hex
from shared.pure.refusal import Forbidden
from shared.web.authz import Actor, Principal, require

TEXT_FORMAT = 1
"""How the text of a request is written down: 1 is RFC 8785 JSON of the fields below."""
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
DECIDED_EVENTS: Mapping[Outcome, type[Event]] = {
    Outcome.approved: ChangeApproved,
    Outcome.rejected: ChangeRejected,
    Outcome.deferred: ChangeDeferred,
}


async def submit(transaction: Direct, caller: Principal, form: ChangeCreate, now: datetime) -> ChangeRequest:
    """Enter the log under a number; go to the deciding body at once when the impact is complete."""
    charter, number = await numbered_governance(transaction, form.charter_id, "CR", now)
    party = acting_party(caller, policy.SUBMIT_CHANGE, charter.scope)
    route = _route(charter.content, form.type, form.impact, form.requested_body, form.reason_code)
    row = _new_row(form, caller, party, charter, route)
    row.number = number
    submitted = _step(row, _submitted(row), "change.submit")
    if row.state is ChangeState.impact_analysis:
        return _entered(row, None, await record(transaction, row, submitted, by=caller, now=now))
    row.state = CHANGE.next(row.state, ChangeAction.route)
    row.matter_id = uuid7()
    lines = await record(transaction, row, submitted, by=caller, now=now)
    text = _text(row)
    put = _matter_form(row, row.matter_id, text)
    matter, opened = await putting.open_new(
        transaction, put, charter, route, text=text, by=caller, starts_at=now, now=now
    )
    return _entered(row, matter, [*lines, *map(_of_matter, opened)])


async def assess(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeAssess,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """Complete the impact and route; refuses `assess_first` while a required dimension is missing."""
    row = await load_for_update(session, ChangeRequest, change_id, expected)
    require(caller, policy.ASSESS_CHANGE, row.scope)
    state = CHANGE.next(row.state, ChangeAction.route)
    charter = await governance(session, row.charter_id, row.charter_version)
    impact = row.impact | form.impact
    route = _route(charter.content, row.type, impact, row.requested_body, row.reason_code, provisional=False)
    row.impact, row.required_missing, row.state = impact, [], state
    row.matter_id = uuid7()
    event = ChangeAssessed(change_id=row.id, number=row.number, title=row.title, impact=impact)
    await record(session, row, _step(row, event, "change.assess"), by=caller, now=now)
    await _put(session, row, row.matter_id, charter, route, caller, now)
    return await _detailed(session, row)


async def preview_route(
    session: AsyncSession, caller: Principal, form: RoutePreviewCreate
) -> dict[str, object]:
    """Who would decide, without writing anything."""
    charter = await governance(session, form.charter_id)
    require(caller, policy.PREVIEW_ROUTE, charter.scope)
    route = _route(charter.content, form.type, form.impact, form.requested_body, form.reason_code)
    return {
        "body": route.body,
        "body_name": charter.content.body(route.body).name,
        "tier": route.tier,
        "computed_body": route.computed_body,
        "explanation": [as_text(line) for line in route.explanation],
        "required_missing": list(route.required_missing),
    }


async def get(session: AsyncSession, caller: Principal, change_id: UUID) -> ChangeRequest:
    row = await load(session, ChangeRequest, change_id)
    require(caller, policy.READ_CHANGES, row.scope)
    return await _detailed(session, row)


async def decide(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeDecide,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """Cast the vote of the caller's party; with the other party's vote it decides or deadlocks."""
    row, matter = await _with_matter(session, change_id, expected)
    require(caller, policy.DECIDE_CHANGE, row.scope)
    CHANGE.next(row.state, ChangeAction.approve)
    assert matter is not None  # what is pending has one
    await deciding.decide(session, caller, policy.DECIDE_CHANGE, matter, form, now)
    return await _detailed(session, row)


async def escalate(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeEscalate,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """A member takes the request to the next body; refuses `no_higher_body` at the last rung."""
    row, matter = await _with_matter(session, change_id, expected)
    require(caller, policy.ESCALATE_CHANGE, row.scope)
    CHANGE.next(row.state, ChangeAction.escalate)
    assert matter is not None  # what is pending has one
    await escalating.escalate(session, caller, policy.ESCALATE_CHANGE, matter, form, now)
    return await _detailed(session, row)


async def withdraw(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeWithdraw,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """The requester's party takes its request back before it is decided."""
    row, matter = await _with_matter(session, change_id, expected)
    if acting_party(caller, policy.WITHDRAW_CHANGE, row.scope) is not row.origin:
        raise Forbidden("other_party", f"Only the {row.origin}, which requested it, may withdraw it.")
    was, row.state = row.state, CHANGE.next(row.state, ChangeAction.withdraw)
    if matter is not None and was is ChangeState.pending_decision:
        await putting.withdraw(session, matter, form.reason, by=caller, now=now)
    event = ChangeWithdrawn(change_id=row.id, number=row.number, title=row.title, reason=form.reason)
    await record(session, row, _step(row, event, "change.withdraw", form.reason), by=caller, now=now)
    return await _detailed(session, row)


async def resume(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeResume,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """Bring a deferred request back to the body that deferred it, with new votes and a new clock."""
    row, deferred = await _with_matter(session, change_id, expected)
    require(caller, policy.RESUME_CHANGE, row.scope)
    row.state = CHANGE.next(row.state, ChangeAction.resume)
    assert deferred is not None  # a matter was deferred
    charter = await governance(session, row.charter_id, row.charter_version)
    body = charter.content.body(deferred.body or "")
    computed = deferred.computed_body or body.key
    route = route_to(charter.content, body, computed, row.impact, emergency=deferred.is_emergency)
    row.matter_id = uuid7()
    event = ChangeResumed(change_id=row.id, number=row.number, title=row.title, reason=form.reason)
    await record(session, row, _step(row, event, "change.resume", form.reason), by=caller, now=now)
    await _put(session, row, row.matter_id, charter, route, caller, now)
    return await _detailed(session, row)


async def _apply(
    session: AsyncSession, row: ChangeRequest, matter: Matter, decision: Decision, by: Actor, now: datetime
) -> None:
    outcome = Outcome(decision.outcome)
    action = DECIDING[outcome]
    row.state = CHANGE.next(row.state, action)
    event = DECIDED_EVENTS[outcome].model_validate(
        {
            "change_id": row.id,
            "number": row.number,
            "title": row.title,
            "decision_id": decision.id,
            "body": decision.body,
            "conditions": decision.conditions,
            "reason": decision.rationale,
        }
    )
    note = f"{decision.number}: {outcome} by the {decision.body_name}"
    await record(session, row, _step(row, event, f"change.{action}", note, matter.body), by=by, now=now)


def _text(row: ChangeRequest) -> SubjectText:
    """What the parties decide upon. It is written down once, when it is put."""
    written = {name: _plain(getattr(row, name)) for name in SNAPSHOT}
    return SubjectText(canonical_bytes(written), TEXT_FORMAT)


SUBJECT = Subject(model=ChangeRequest, apply=_apply)


def _plain(value: object) -> object:
    return value if isinstance(value, dict) else str(value)


async def _with_matter(
    session: AsyncSession, change_id: UUID, expected: int
) -> tuple[ChangeRequest, Matter | None]:
    """The request and its matter, both locked: the matter first, as its clock does."""
    its = select(ChangeRequest.matter_id).where(ChangeRequest.id == change_id).scalar_subquery()
    matter = await session.scalar(select(Matter).where(Matter.id == its).with_for_update())
    return await load_for_update(session, ChangeRequest, change_id, expected), matter


async def _put(
    session: AsyncSession,
    row: ChangeRequest,
    matter_id: UUID,
    charter: Governance,
    route: Route,
    by: Actor,
    now: datetime,
) -> tuple[Matter, list[Entry]]:
    text = _text(row)
    form = _matter_form(row, matter_id, text)
    # Our own policy has said who may put it, so the kinds table need not ask for roles.
    return await putting.put(
        session, form, charter, route=route, text=text, roles=None, by=by, starts_at=now, now=now
    )


def _matter_form(row: ChangeRequest, matter_id: UUID, text: SubjectText) -> MatterPut:
    """What a body is to decide about the request."""
    return MatterPut(
        matter_id=matter_id,
        subject_kind=MatterKind.change_request,
        subject_id=row.id,
        subject_number=row.number,
        title=row.title,
        subject_hash=sha256_hex(text.text),
        impact=row.impact,
        severity=row.severity,
        decision_class=f"change.{row.type}",
        question=f"Shall {row.number} ({row.title}) be carried out?",
        origin=row.origin,
        requester_id=row.requester_id,
        requester_name=row.requester_name,
        charter_version=row.charter_version,
        requested_body=row.requested_body,
        reason_code=row.reason_code,
    )


def _step(row: ChangeRequest, event: Event, action: str, note: str = "", body: str | None = None) -> Act:
    """The act that brought the request to where it is now, as its timeline shows it."""
    return Act(action, event, {"state": row.state, "body": body, "note": note})


def _of_matter(line: Entry) -> Entry:
    """A line of the matter's history in the words of the request: while it has one, it waits for its decision."""
    return replace(line, detail={**line.detail, "state": ChangeState.pending_decision})


async def _detailed(session: AsyncSession, row: ChangeRequest) -> ChangeRequest:
    """The row with its matter, its votes and its history, those of earlier matters among them."""
    await session.flush()
    await session.refresh(row, ["matter", "votes"])
    ids = (await session.scalars(select(Matter.id).where(Matter.subject_id == row.id))).all()
    lines = await timeline(session, row.id, *ids)
    row.timeline = [line if line.resource_id == row.id else _of_matter(line) for line in lines]
    return row


def _entered(row: ChangeRequest, matter: Matter | None, lines: Sequence[Entry]) -> ChangeRequest:
    """A row of this transaction with its matter and its history, which need not be read back."""
    set_committed_value(row, "matter", matter)
    set_committed_value(row, "votes", [])
    row.timeline = lines
    return row


def _route(
    content: ExecutableCharter,
    type_: ChangeType,
    impact: Impact,
    requested_body: str | None,
    reason_code: RequestReason | None,
    *,
    provisional: bool = True,
) -> Route:
    return putting.find_route(
        content,
        MatterKind.change_request,
        f"change.{type_}",
        impact,
        requested_body,
        reason_code,
        provisional=provisional,
    )


def _new_row(
    form: ChangeCreate, caller: Principal, party: Party, charter: Governance, route: Route
) -> ChangeRequest:
    action = ChangeAction.request_analysis if route.required_missing else None
    state = CHANGE.next(ChangeState.submitted, action) if action else ChangeState.submitted
    return ChangeRequest(
        **{name: value for name, value in form if name != "priority"},
        customer_org_id=charter.customer_org_id,
        provider_org_id=charter.provider_org_id,
        priority_impact=form.priority.impact,
        priority_urgency=form.priority.urgency,
        severity=severity_of(form.priority.impact, form.priority.urgency),
        origin=party,
        requester_id=caller.member_id,
        requester_name=caller.display_name,
        charter_version=charter.charter_version,
        state=state,
        required_missing=list(route.required_missing),
    )


def _submitted(row: ChangeRequest) -> ChangeSubmitted:
    return ChangeSubmitted(
        change_id=row.id, number=row.number, title=row.title, origin=row.origin, severity=row.severity
    )
