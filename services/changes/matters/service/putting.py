"""A matter from being put to being taken back: routed to its body, routed anew when its subject changes."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters import queries
from services.changes.matters.domain.escalation import RungClock, clock_of
from services.changes.matters.domain.impact import Impact, check_impact, routing_part
from services.changes.matters.domain.kinds import (
    EMERGENCY,
    check_class,
    check_putter,
    check_words,
    kind_of,
    required_dimensions,
    unknown_words,
)
from services.changes.matters.domain.routing import RequestReason, Route, covers, route
from services.changes.matters.domain.states import MATTER, MatterAction, MatterState
from services.changes.matters.models import Matter
from services.changes.matters.service.escalating import close_escalation, void_positions
from services.changes.matters.service.placing import about, asks, enter, place, received, step, stop_clock
from services.changes.matters.service.subjects import SubjectText
from shared.contracts.changes import (
    MatterOpened,
    MatterReassigned,
    MatterRefused,
    MatterStale,
    MatterWithdrawn,
    MatterWithdrawRefused,
)
from shared.contracts.governance import Body, ExecutableCharter, Party, Role
from shared.contracts.matters import MatterOutcomeNotApplied, MatterPut, MatterSubjectChanged, SubjectFact
from shared.data.direct import Direct
from shared.data.directory import Governance, governance
from shared.data.history import Act, Entry, record
from shared.pure.refusal import Refusal, Refused, checking_input
from shared.web.authz import SYSTEM, Actor

TAKEN_OVER = ("subject_number", "title", "subject_hash", "impact", "severity")
"""What a matter knows of its subject that may change while it waits."""


def find_route(
    content: ExecutableCharter,
    kind_name: str,
    decision_class: str,
    impact: Impact,
    requested_body: str | None,
    reason_code: RequestReason | None,
    *,
    provisional: bool = False,
) -> Route:
    """The body that decides a subject of that kind; an impact the charter cannot measure is `Invalid`."""
    with checking_input():
        check_impact(content, impact)
    return route(
        content,
        impact,
        emergency=decision_class == EMERGENCY,
        requested_body=requested_body,
        reason_code=reason_code,
        required=required_dimensions(kind_of(kind_name), content),
        provisional=provisional,
    )


async def put(
    session: AsyncSession,
    form: MatterPut,
    charter: Governance,
    *,
    route: Route | None = None,
    text: SubjectText | None = None,
    roles: Collection[Role] | None,
    by: Actor,
    starts_at: datetime,
    now: datetime,
) -> tuple[Matter, list[Entry]]:
    """Open the matter at the body that decides it, and the line of its timeline. `route` saves routing it twice.

    `text` is what `subject_hash` is the hash of, None where another service keeps it.
    `roles` are the putter's, None when a service put it by itself. Refuses what the kinds table, the charter
    and the routing refuse, and `already_open`.
    """
    check_form(form, roles)
    route = route or _route(charter.content, form)
    await _check_free(session, form)
    return await open_new(session, form, charter, route, text=text, by=by, starts_at=starts_at, now=now)


async def open_new(
    transaction: AsyncSession | Direct,
    form: MatterPut,
    charter: Governance,
    route: Route,
    *,
    text: SubjectText | None = None,
    by: Actor,
    starts_at: datetime,
    now: datetime,
) -> tuple[Matter, list[Entry]]:
    """Open the matter of a subject that has none yet at the body that `route` names."""
    matter = _new(form, charter, MatterState.put, text)
    matter.state = MATTER.next(matter.state, MatterAction.open)
    matter.computed_body = route.computed_body
    content = charter.content
    body = content.body(route.body)
    clock = _first_clock(content, body, matter, starts_at, now)
    await place(transaction, matter, content, body, clock, route.explanation)
    if not isinstance(transaction, Direct):
        transaction.add(matter)
    return matter, await record(transaction, matter, _opened(matter, charter), by=by, now=now)


def check_form(form: MatterPut, roles: Collection[Role] | None) -> None:
    """Refuses what the kinds table does not allow, and words that it does not know."""
    check_words(vars(form))
    kind = kind_of(form.subject_kind)
    check_class(kind, form.decision_class)
    check_putter(kind, Party(form.origin), roles)


async def refuse_put(
    session: AsyncSession, form: MatterPut, charter: Governance, refusal: Refusal, now: datetime
) -> None:
    """Keep what cannot be decided under its id, so that the same put stays the same, and say why."""
    known = form.model_copy(update=dict.fromkeys(unknown_words(vars(form))))
    matter = _new(known, charter, MatterState.put)
    session.add(matter)
    await record(session, matter, _refused(matter, refusal), by=SYSTEM, now=now)


async def withdraw(
    session: AsyncSession, matter: Matter, reason: str, *, by: Actor, now: datetime
) -> list[Entry]:
    """Take the matter back before it is decided."""
    matter.state = MATTER.next(matter.state, MatterAction.withdraw)
    await void_positions(session, matter)
    await stop_clock(session, matter)
    event = MatterWithdrawn(**about(matter), reason=reason)
    entries = await record(session, matter, step(matter, event, "matter.withdraw", reason), by=by, now=now)
    await close_escalation(session, matter, MatterState.withdrawn, by=by, now=now)
    return entries


async def refuse_withdrawal(session: AsyncSession, matter: Matter, now: datetime) -> None:
    """It came too late: say what the matter has become."""
    code = f"already_{matter.state}"
    event = MatterWithdrawRefused(**about(matter), code=code, decision_id=matter.decision_id)
    await record(session, matter, step(matter, event, "matter.refuse_withdrawal", code), by=SYSTEM, now=now)


def says_nothing_new(matter: Matter, fact: SubjectFact) -> bool:
    """Said twice, a change changes nothing: votes on the same text stand."""
    return all(getattr(matter, name) == getattr(fact, name) for name in TAKEN_OVER)


async def change_subject(
    session: AsyncSession, matter: Matter, fact: MatterSubjectChanged, now: datetime
) -> None:
    """The subject changed while it waits: the votes were on another text, and perhaps another body decides."""
    content = (await governance(session, matter.charter_id, matter.charter_version)).content
    act = await _reassign(session, matter, content, fact, fact.what_changed, now)
    await record(session, matter, act, by=SYSTEM, now=now)


async def take_back(
    session: AsyncSession, matter: Matter, fact: MatterOutcomeNotApplied, now: datetime
) -> None:
    """The subject could not take the decision: the matter is stale, and decided anew if the subject still waits."""
    matter.state = MATTER.next(matter.state, MatterAction.not_applied)
    event = MatterStale(**about(matter), decision_id=fact.decision_id, reason=fact.reason)
    acts = [step(matter, event, "matter.not_applied", fact.reason)]
    if fact.waits:
        content = (await governance(session, matter.charter_id, matter.charter_version)).content
        matter.decision_id = matter.decided_at = None
        acts.append(await _reassign(session, matter, content, fact, fact.reason, now))
    await record(session, matter, *acts, by=SYSTEM, now=now)


async def _reassign(
    session: AsyncSession,
    matter: Matter,
    content: ExecutableCharter,
    fact: SubjectFact,
    reason: str,
    now: datetime,
) -> Act:
    """Let a body have it anew over the text of `fact`; what cannot be routed any more is refused."""
    await void_positions(session, matter)
    severity = matter.severity
    try:
        if matter.state is not MatterState.open:
            await _check_free(session, matter)
        _take_over(matter, fact)
        route = _route(content, matter)
    except Refusal as refusal:
        await stop_clock(session, matter)
        await close_escalation(session, matter, MatterState.refused, by=SYSTEM, now=now)
        return _refused(matter, refusal)
    stays = matter.state is MatterState.open and severity is matter.severity
    matter.state = MATTER.next(matter.state, MatterAction.reassign)
    matter.computed_body = route.computed_body
    await _assign(session, matter, content, route, now, stays=stays)
    body = content.body(matter.body or "")
    event = MatterReassigned(
        **about(matter, asks(matter, body)),
        **received(matter),
        reason=reason,
        subject_hash=matter.subject_hash,
    )
    return step(matter, event, "matter.reassign", reason, {"rules": matter.rules})


async def _assign(
    session: AsyncSession,
    matter: Matter,
    content: ExecutableCharter,
    route: Route,
    now: datetime,
    *,
    stays: bool,
) -> None:
    """The body that has it keeps it on its running clock while it may decide the new impact; else the computed one."""
    body = content.body(matter.body or route.body)
    if stays and covers(content, body, routing_part(matter.impact)):
        enter(matter, content, body)
    else:
        body = content.body(route.body)
        clock = clock_of(content, body.key, matter.severity, now)
        await place(session, matter, content, body, clock, route.explanation)


async def _check_free(session: AsyncSession, asked: MatterPut | Matter) -> None:
    if await queries.open_matter(session, asked.subject_id, asked.decision_class):
        raise Refused(
            "already_open",
            f"{asked.subject_number} waits for a decision of that class already; withdraw it first.",
        )


def _take_over(matter: Matter, fact: SubjectFact) -> None:
    check_words(vars(fact))
    for name in TAKEN_OVER:
        setattr(matter, name, getattr(fact, name))


def _route(content: ExecutableCharter, asked: MatterPut | Matter) -> Route:
    reason = asked.reason_code
    return find_route(
        content,
        asked.subject_kind,
        asked.decision_class,
        asked.impact,
        asked.requested_body,
        RequestReason(reason) if reason else None,
    )


def _first_clock(
    content: ExecutableCharter, body: Body, matter: Matter, starts_at: datetime, now: datetime
) -> RungClock | None:
    """Since it was put, unless its time would be over by now: no body gets a matter without time to act."""
    clock = clock_of(content, body.key, matter.severity, starts_at)
    is_over = clock is not None and clock.ends_at <= now
    return clock_of(content, body.key, matter.severity, now) if is_over else clock


def _new(form: MatterPut, charter: Governance, state: MatterState, text: SubjectText | None = None) -> Matter:
    shared = {name: value for name, value in form if name not in ("matter_id", "charter_version")}
    return Matter(
        **charter.scope.columns(),
        **shared,
        id=form.matter_id,
        subject_text=text.text if text else None,
        text_format=text.text_format if text else None,
        charter_version=charter.charter_version,
        state=state,
        explanation=[],
        entry=0,
    )


def _opened(matter: Matter, charter: Governance) -> Act:
    body = charter.content.body(matter.body or "")
    event = MatterOpened(
        **about(matter, asks(matter, body)),
        **received(matter),
        decision_class=matter.decision_class,
        subject_hash=matter.subject_hash,
        charter_version=matter.charter_version,
    )
    asked_for = f" (asked for: {matter.reason_code})" if matter.body != matter.computed_body else ""
    return step(
        matter, event, "matter.open", f"{matter.body_name} decides{asked_for}", {"rules": matter.rules}
    )


def _refused(matter: Matter, refusal: Refusal) -> Act:
    matter.state = MATTER.next(matter.state, MatterAction.refuse)
    event = MatterRefused(
        **about(matter), code=refusal.code, message=refusal.message, pointer=refusal.pointer
    )
    return step(matter, event, "matter.refuse", f"{refusal.code}: {refusal.message}")
