"""A change request from submission to withdrawal: its impact, its route, its way back after a deferral."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.change_requests import policy
from services.changes.change_requests.domain import CHANGE, ChangeAction, ChangeState, ChangeType, severity_of
from services.changes.change_requests.models import ChangeRequest
from services.changes.change_requests.schemas import (
    ChangeAssess,
    ChangeCreate,
    ChangeResume,
    ChangeWithdraw,
    RoutePreviewCreate,
)
from services.changes.matters.domain.impact import Impact, check_impact
from services.changes.matters.domain.routing import RequestReason, Route, route
from services.changes.matters.policy import acting_party
from services.changes.matters.service.escalating import close_escalation, void_ballots
from services.changes.matters.service.trail import (
    detailed,
    entered,
    place,
    routed,
    spoken,
    step,
)
from shared.contracts.changes import ChangeSubmitted, ChangeWithdrawn
from shared.contracts.governance import ExecutableCharter, Party
from shared.data.directory import Governance, governance
from shared.data.history import Act, record
from shared.data.numbering import next_number
from shared.data.session import load, load_for_update
from shared.pure.refusal import Forbidden, checking_input
from shared.web.authz import Principal, require


async def submit(
    session: AsyncSession, caller: Principal, form: ChangeCreate, now: datetime
) -> ChangeRequest:
    """Enter the log under a number; go to the deciding body at once when the impact is complete."""
    charter = await governance(session, form.charter_id)
    party = acting_party(caller, policy.SUBMIT_CHANGE, charter.scope)
    found = _route(charter.content, form.type, form.impact, form.requested_body, form.reason_code)
    row = _new_row(form, caller, party, charter, found)
    row.number = await next_number(session, "CR", form.charter_id, now)
    session.add(row)
    steps = [step(row, _submitted(row), "change.submit")]
    if row.state is ChangeState.submitted:
        steps.append(_routed_to_body(row, charter.content, found, now))
    return await entered(session, row, await record(session, row, *steps, by=caller, now=now))


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
    CHANGE.next(row.state, ChangeAction.route)
    charter = await governance(session, row.charter_id, row.charter_version)
    impact = row.impact | form.impact
    _check(charter.content, impact)
    found = _route(charter.content, row.type, impact, row.requested_body, row.reason_code, provisional=False)
    row.impact, row.required_missing = impact, []
    await record(session, row, _routed_to_body(row, charter.content, found, now), by=caller, now=now)
    return await detailed(session, row)


async def preview_route(
    session: AsyncSession, caller: Principal, form: RoutePreviewCreate
) -> dict[str, object]:
    """Who would decide, without writing anything."""
    charter = await governance(session, form.charter_id)
    require(caller, policy.PREVIEW_ROUTE, charter.scope)
    found = _route(charter.content, form.type, form.impact, form.requested_body, form.reason_code)
    return {
        "body": found.body,
        "body_name": charter.content.body(found.body).name,
        "tier": found.tier,
        "computed_body": found.computed_body,
        "explanation": [spoken(line) for line in found.explanation],
        "required_missing": list(found.required_missing),
    }


async def get(session: AsyncSession, caller: Principal, change_id: UUID) -> ChangeRequest:
    row = await load(session, ChangeRequest, change_id)
    require(caller, policy.READ_CHANGES, row.scope)
    return await detailed(session, row)


async def withdraw(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeWithdraw,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """The requester's party takes its request back before it is decided."""
    row = await load_for_update(session, ChangeRequest, change_id, expected)
    if acting_party(caller, policy.WITHDRAW_CHANGE, row.scope) is not row.origin:
        raise Forbidden("other_party", f"Only the {row.origin}, which requested it, may withdraw it.")
    row.state = CHANGE.next(row.state, ChangeAction.withdraw)
    row.decision_id = row.decided_at = None
    await void_ballots(session, row)
    event = ChangeWithdrawn(change_id=row.id, number=row.number, title=row.title, reason=form.reason)
    await record(session, row, step(row, event, "change.withdraw", form.reason), by=caller, now=now)
    await close_escalation(session, row, ChangeState.withdrawn, by=caller, now=now)
    return await detailed(session, row)


async def resume(
    session: AsyncSession,
    caller: Principal,
    change_id: UUID,
    form: ChangeResume,
    expected: int,
    now: datetime,
) -> ChangeRequest:
    """Bring a deferred request back to the body that deferred it, with new votes and a new clock."""
    row = await load_for_update(session, ChangeRequest, change_id, expected)
    require(caller, policy.RESUME_CHANGE, row.scope)
    row.state = CHANGE.next(row.state, ChangeAction.resume)
    content = (await governance(session, row.charter_id, row.charter_version)).content
    place(row, content, content.body(row.body or ""), now)
    row.escalation_id = row.decision_id = row.decided_at = None
    await record(session, row, step(row, routed(row), "change.resume", form.reason), by=caller, now=now)
    return await detailed(session, row)


def _route(
    content: ExecutableCharter,
    type_: ChangeType,
    impact: Impact,
    requested_body: str | None,
    reason_code: RequestReason | None,
    *,
    provisional: bool = True,
) -> Route:
    _check(content, impact)
    return route(
        content,
        impact,
        emergency=type_ is ChangeType.emergency,
        requested_body=requested_body,
        reason_code=reason_code,
        provisional=provisional,
    )


def _check(content: ExecutableCharter, impact: Impact) -> None:
    """An impact the charter cannot measure is bad input (422), not a rule that says no (409)."""
    with checking_input():
        check_impact(content, impact)


def _new_row(
    form: ChangeCreate, caller: Principal, party: Party, charter: Governance, found: Route
) -> ChangeRequest:
    action = ChangeAction.request_analysis if found.required_missing else None
    state = CHANGE.next(ChangeState.submitted, action) if action else ChangeState.submitted
    return ChangeRequest(
        **form.model_dump(exclude={"priority"}),
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
        required_missing=list(found.required_missing),
        explanation=[],
        rung=0,
    )


def _submitted(row: ChangeRequest) -> ChangeSubmitted:
    return ChangeSubmitted(
        change_id=row.id, number=row.number, title=row.title, origin=row.origin, severity=row.severity
    )


def _routed_to_body(row: ChangeRequest, content: ExecutableCharter, found: Route, now: datetime) -> Act:
    row.state = CHANGE.next(row.state, ChangeAction.route)
    row.computed_body = found.computed_body
    place(row, content, content.body(found.body), now, found.explanation)
    note = f"{row.body_name} decides" + (
        f" (asked for: {row.reason_code})" if found.body != found.computed_body else ""
    )
    return step(row, routed(row), "change.route", note, {"rules": row.rules})
