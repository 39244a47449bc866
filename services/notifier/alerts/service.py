"""Alerts: opened, updated and cleared by events; acknowledged, commented, snoozed and resolved by members."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts import queries
from services.notifier.alerts.domain import (
    LIFE,
    AlertAction,
    AlertState,
    Change,
    Opened,
    Resolution,
    check_snooze,
    more_pressing,
)
from services.notifier.alerts.models import Alert
from shared.calendars.business_days import FEDERAL_ET
from shared.contracts.base import Event, Scope
from shared.contracts.governance import CalendarRules, Party
from shared.contracts.notifier import (
    AlertAcknowledged,
    AlertOpened,
    AlertResolved,
    AlertSnoozed,
    AlertWoken,
)
from shared.data.directory import governance
from shared.data.history import Act, record_all
from shared.data.session import load_for_update
from shared.pure.refusal import Forbidden, Refused
from shared.runtime import due
from shared.web.authz import SYSTEM, Actor, Principal

SNOOZE = "alert.snooze"
"""The kind of due row that ends a snooze."""
ALERTS = Counter("concordat_alerts_total", "Changes of alerts", ("rule", "change"))
ACTIONS: Mapping[Change, str] = {
    Change.opened: "alert.open",
    Change.updated: "alert.update",
    Change.reopened: "alert.raise_again",
    Change.acknowledged: "alert.acknowledge",
    Change.commented: "alert.comment",
    Change.snoozed: "alert.snooze",
    Change.resolved: "alert.resolve",
}


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What made us look: an event of another service, or a finding about an endpoint (no `event_id`)."""

    event_type: str
    subject_id: UUID
    event_id: UUID | None = None
    scope: Scope = Scope()  # noqa: RUF009 - frozen


@dataclass(frozen=True, kw_only=True)
class Touched:
    """An alert and what just happened to it."""

    alert: Alert
    change: Change


async def raise_alerts(
    session: AsyncSession, org_ids: Collection[UUID], opened: Opened, cause: Cause, now: datetime
) -> list[Touched]:
    """Open the alert for each organization, or update its unresolved one with the same dedup key."""
    known = {a.org_id: a for a in await queries.unresolved(session, [opened.dedup_key], org_ids)}
    steps = []
    for org_id in org_ids:
        if org_id in known:
            steps.append(await _update(session, known[org_id], opened, cause, now))
        else:
            alert = _new(org_id, opened, cause, now)
            session.add(alert)
            steps.append(_step(alert, Change.opened, _opened_event(alert), cause=cause))
    return await _keep(session, steps, by=SYSTEM, now=now)


def _new(org_id: UUID, opened: Opened, cause: Cause, now: datetime) -> Alert:
    return Alert(
        org_id=org_id,
        charter_id=cause.scope.charter_id,
        customer_org_id=cause.scope.customer_org_id,
        provider_org_id=cause.scope.provider_org_id,
        dedup_key=opened.dedup_key,
        priority=opened.priority,
        state=AlertState.open,
        occurrences=1,
        **_facts(org_id, opened, cause, now),
    )


def _facts(org_id: UUID, opened: Opened, cause: Cause, now: datetime) -> dict[str, Any]:
    """What an alert says by its latest event: the columns that are written anew each time."""
    return {
        "must_act": _must_act(org_id, opened, cause.scope),
        "ends_with_cause": opened.ends_with_cause,
        "rule": opened.rule,
        "event_type": cause.event_type,
        "subject_id": cause.subject_id,
        "title": opened.title,
        "roles": [str(role) for role in opened.roles],
        "last_event_at": now,
    }


def _must_act(org_id: UUID, opened: Opened, scope: Scope) -> bool:
    """Whether the organization has to act; what is under no charter is its own affair."""
    if scope.charter_id is None:
        return True
    party = Party.customer if org_id == scope.customer_org_id else Party.provider
    return party in opened.acting


async def _update(
    session: AsyncSession, alert: Alert, opened: Opened, cause: Cause, now: datetime
) -> "_Step":
    priority = more_pressing(alert.priority, opened.priority)
    is_worse = priority is not alert.priority
    wakes = opened.reopens or (is_worse and alert.state is AlertState.snoozed)
    reopens = wakes and alert.state is not AlertState.open
    if wakes:
        await _open_again(session, alert)
    alert.priority, alert.occurrences = priority, alert.occurrences + 1
    for name, value in _facts(alert.org_id, opened, cause, now).items():
        setattr(alert, name, value)
    change = Change.reopened if reopens else Change.updated
    event = _opened_event(alert) if reopens or is_worse else None
    return _step(alert, change, event, cause=cause)


async def clear(
    session: AsyncSession, dedup_keys: Sequence[str], org_ids: Collection[UUID], cause: Cause, now: datetime
) -> list[Touched]:
    """Resolve the alerts whose cause went away."""
    unresolved = await queries.unresolved(session, dedup_keys, org_ids) if dedup_keys else ()
    steps = [
        await _resolve(
            session, alert, SYSTEM, Resolution.cause_cleared, "The cause went away.", now, cause=cause
        )
        for alert in unresolved
    ]
    return await _keep(session, steps, by=SYSTEM, now=now)


async def acknowledge(
    session: AsyncSession, caller: Principal, alert_id: UUID, note: str, expected: int, now: datetime
) -> Alert:
    """A member takes the alert up."""
    alert = await load_for_update(session, Alert, alert_id, expected)
    alert.state = LIFE.next(alert.state, AlertAction.acknowledge)
    await _end_snooze(session, alert)
    alert.acknowledged_at, alert.acknowledged_by = now, caller.member_id
    event = AlertAcknowledged(alert_id=alert.id, org_id=alert.org_id, member_id=caller.member_id)
    await _keep(session, [_step(alert, Change.acknowledged, event, note=note)], by=caller, now=now)
    return alert


async def comment(
    session: AsyncSession, caller: Principal, alert_id: UUID, note: str, now: datetime
) -> Alert:
    """A member adds words to its history, whatever its state."""
    alert = await load_for_update(session, Alert, alert_id, None)
    await _keep(session, [_step(alert, Change.commented, None, note=note)], by=caller, now=now)
    return alert


async def snooze(
    session: AsyncSession,
    caller: Principal,
    alert_id: UUID,
    until: datetime,
    reason: str,
    expected: int,
    now: datetime,
) -> Alert:
    """A member of the party that has to act lets it be quiet until a business time (ruling 15.7)."""
    alert = await load_for_update(session, Alert, alert_id, expected)
    alert.state = LIFE.next(alert.state, AlertAction.snooze)
    _require_to_act(alert)
    check_snooze(until, now, await _calendar(session, alert))
    alert.snoozed_until, alert.snoozed_by = until, caller.member_id
    await due.schedule(session, SNOOZE, alert, until)
    event = AlertSnoozed(
        alert_id=alert.id, org_id=alert.org_id, member_id=caller.member_id, until=until, reason=reason
    )
    await _keep(session, [_step(alert, Change.snoozed, event, note=reason)], by=caller, now=now)
    return alert


async def wake(session: AsyncSession, alert: Alert, step: due.Step, now: datetime) -> None:
    """The snooze is over and the cause still holds."""
    await _open_again(session, alert)
    event = AlertWoken(alert_id=alert.id, org_id=alert.org_id, rule=alert.rule, title=alert.title)
    await _keep(
        session, [_step(alert, Change.reopened, event, note="The snooze is over.")], by=SYSTEM, now=now
    )


async def resolve(
    session: AsyncSession, caller: Principal, alert_id: UUID, note: str, expected: int, now: datetime
) -> Alert:
    """A member declares the matter settled, where nothing else will. Should the cause recur, a new alert opens."""
    alert = await load_for_update(session, Alert, alert_id, expected)
    LIFE.next(alert.state, AlertAction.resolve)
    _require_to_act(alert)
    if alert.ends_with_cause:
        raise Refused(
            "cause_persists",
            "Its cause still holds, and it ends by itself when the cause does. Snooze it until a business time instead.",
        )
    step = await _resolve(session, alert, caller, Resolution.member, note, now)
    await _keep(session, [step], by=caller, now=now)
    return alert


def _require_to_act(alert: Alert) -> None:
    """Only the party that has to act may silence what still holds (ruling 15.7)."""
    if not alert.must_act:
        raise Forbidden(
            "not_yours_to_silence",
            "The other party has to act here, so only it may snooze or resolve. Acknowledge the alert, or comment on it.",
        )


async def _calendar(session: AsyncSession, alert: Alert) -> CalendarRules:
    """The calendar of its charter that is called federal, or the first; without a charter the federal one."""
    if alert.charter_id is None:
        return FEDERAL_ET
    calendars = (await governance(session, alert.charter_id)).content.calendars
    return next((each for each in calendars if each.key == FEDERAL_ET.key), calendars[0])


async def _open_again(session: AsyncSession, alert: Alert) -> None:
    alert.state = LIFE.next(alert.state, AlertAction.raise_again)
    alert.acknowledged_at = alert.acknowledged_by = None
    await _end_snooze(session, alert)


async def _end_snooze(session: AsyncSession, alert: Alert) -> None:
    if alert.snoozed_until is not None:
        alert.snoozed_until = alert.snoozed_by = None
        await due.clear(session, SNOOZE, alert)


async def _resolve(
    session: AsyncSession,
    alert: Alert,
    by: Actor,
    resolution: Resolution,
    note: str,
    now: datetime,
    cause: Cause | None = None,
) -> "_Step":
    alert.state = LIFE.next(alert.state, AlertAction.resolve)
    await _end_snooze(session, alert)
    alert.resolved_at, alert.resolution = now, resolution
    alert.resolved_by = by.member_id if isinstance(by, Principal) else None
    event = AlertResolved(alert_id=alert.id, org_id=alert.org_id, resolution=resolution.value)
    return _step(alert, Change.resolved, event, note=note, cause=cause)


def _opened_event(alert: Alert) -> AlertOpened:
    return AlertOpened(
        alert_id=alert.id,
        org_id=alert.org_id,
        rule=alert.rule,
        dedup_key=alert.dedup_key,
        title=alert.title,
        priority=alert.priority.value,
    )


@dataclass(frozen=True)
class _Step:
    """One change of an alert that is still to be recorded."""

    touched: Touched
    act: Act


def _step(
    alert: Alert, change: Change, event: Event | None, *, note: str | None = None, cause: Cause | None = None
) -> _Step:
    """A change and what is kept of it: its detail is a line of the alert's history. Without a `note` the title tells."""
    detail = {
        "change": change.value,
        "priority": alert.priority.value,
        "note": alert.title if note is None else note,
        "event_id": str(cause.event_id) if cause and cause.event_id else None,
    }
    return _Step(Touched(alert=alert, change=change), Act(ACTIONS[change], event, detail))


async def _keep(session: AsyncSession, steps: Sequence[_Step], *, by: Actor, now: datetime) -> list[Touched]:
    """Record the changes of different alerts."""
    await record_all(session, [(step.touched.alert, [step.act]) for step in steps], by=by, now=now)
    for step in steps:
        ALERTS.labels(step.touched.alert.rule, step.touched.change.value).inc()
    return [step.touched for step in steps]
