"""Alerts: opened, updated and cleared by events; acknowledged and resolved by members."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
    more_pressing,
)
from services.notifier.alerts.models import Alert
from shared.contracts.base import Scope
from shared.contracts.notifier import AlertAcknowledged, AlertOpened, AlertResolved
from shared.data.history import Act, record
from shared.data.session import load_for_update
from shared.web.authz import SYSTEM, Actor, Principal

ALERTS = Counter("concordat_alerts_total", "Changes of alerts", ("rule", "change"))


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


async def raise_alert(
    session: AsyncSession, org_id: UUID, opened: Opened, cause: Cause, now: datetime
) -> Touched:
    """Open the alert for one organization, or update the unresolved one with the same dedup key."""
    known = await queries.unresolved(session, [opened.dedup_key], [org_id])
    if known:
        return await _update(session, known[0], opened, cause, now)
    alert = _new(org_id, opened, cause, now)
    session.add(alert)
    act = Act("alert.open", _opened_event(alert))
    return await _record(session, alert, act, Change.opened, opened.title, now, cause=cause)


def _new(org_id: UUID, opened: Opened, cause: Cause, now: datetime) -> Alert:
    return Alert(
        org_id=org_id,
        charter_id=cause.scope.charter_id,
        customer_org_id=cause.scope.customer_org_id,
        provider_org_id=cause.scope.provider_org_id,
        rule=opened.rule,
        event_type=cause.event_type,
        subject_id=cause.subject_id,
        dedup_key=opened.dedup_key,
        title=opened.title,
        priority=opened.priority,
        state=AlertState.open,
        roles=[str(role) for role in opened.roles],
        occurrences=1,
        last_event_at=now,
    )


async def _update(
    session: AsyncSession, alert: Alert, opened: Opened, cause: Cause, now: datetime
) -> Touched:
    priority = more_pressing(alert.priority, opened.priority)
    reopens = opened.reopens and alert.state is AlertState.acknowledged
    needs_a_person_again = reopens or priority is not alert.priority
    if opened.reopens:
        alert.state = LIFE.next(alert.state, AlertAction.raise_again)
        alert.acknowledged_at = alert.acknowledged_by = None
    alert.priority, alert.title, alert.rule = priority, opened.title, opened.rule
    alert.event_type, alert.occurrences, alert.last_event_at = cause.event_type, alert.occurrences + 1, now
    change = Change.reopened if reopens else Change.updated
    act = Act("alert.raise_again", _opened_event(alert)) if needs_a_person_again else Act("alert.update")
    return await _record(session, alert, act, change, opened.title, now, cause=cause)


async def clear(
    session: AsyncSession, dedup_keys: Sequence[str], org_ids: Collection[UUID], cause: Cause, now: datetime
) -> list[Touched]:
    """Resolve the alerts whose cause went away."""
    found = await queries.unresolved(session, dedup_keys, org_ids) if dedup_keys else ()
    return [
        await _resolve(
            session, alert, SYSTEM, Resolution.cause_cleared, "The cause went away.", now, cause=cause
        )
        for alert in found
    ]


async def acknowledge(
    session: AsyncSession, caller: Principal, alert_id: UUID, note: str, expected: int, now: datetime
) -> Alert:
    """A member takes the alert up."""
    alert = await load_for_update(session, Alert, alert_id, expected)
    alert.state = LIFE.next(alert.state, AlertAction.acknowledge)
    alert.acknowledged_at, alert.acknowledged_by = now, caller.member_id
    event = AlertAcknowledged(alert_id=alert.id, org_id=alert.org_id, member_id=caller.member_id)
    act = Act("alert.acknowledge", event)
    return (await _record(session, alert, act, Change.acknowledged, note, now, by=caller)).alert


async def resolve(
    session: AsyncSession, caller: Principal, alert_id: UUID, note: str, expected: int, now: datetime
) -> Alert:
    """A member declares the matter settled. Should the cause recur, a new alert opens."""
    alert = await load_for_update(session, Alert, alert_id, expected)
    return (await _resolve(session, alert, caller, Resolution.member, note, now)).alert


async def _resolve(
    session: AsyncSession,
    alert: Alert,
    by: Actor,
    resolution: Resolution,
    note: str,
    now: datetime,
    cause: Cause | None = None,
) -> Touched:
    alert.state = LIFE.next(alert.state, AlertAction.resolve)
    alert.resolved_at, alert.resolution = now, resolution
    alert.resolved_by = by.member_id if isinstance(by, Principal) else None
    event = AlertResolved(alert_id=alert.id, org_id=alert.org_id, resolution=resolution.value)
    act = Act("alert.resolve", event)
    return await _record(session, alert, act, Change.resolved, note, now, by=by, cause=cause)


def _opened_event(alert: Alert) -> AlertOpened:
    return AlertOpened(
        alert_id=alert.id,
        org_id=alert.org_id,
        rule=alert.rule,
        dedup_key=alert.dedup_key,
        title=alert.title,
        priority=alert.priority.value,
    )


async def _record(
    session: AsyncSession,
    alert: Alert,
    act: Act,
    change: Change,
    note: str,
    now: datetime,
    *,
    by: Actor = SYSTEM,
    cause: Cause | None = None,
) -> Touched:
    """Record what happened to the alert, as its history will show it."""
    shown = {
        "change": change,
        "priority": alert.priority,
        "note": note,
        "event_id": cause.event_id if cause else None,
    }
    await record(session, alert, replace(act, detail=shown), by=by, now=now)
    ALERTS.labels(alert.rule, change.value).inc()
    return Touched(alert=alert, change=change)
