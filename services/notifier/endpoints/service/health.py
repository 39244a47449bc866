"""What the attempts of an endpoint mean for it: well again, failing, switched off, and its owner alerted."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts import service as alerts
from services.notifier.channels.domain import Verdict
from services.notifier.endpoints.domain import (
    DISABLE_AFTER,
    DisableReason,
    Window,
    after_failure,
    after_success,
    disable_reason,
    owner_must_know,
)
from services.notifier.endpoints.models import Endpoint
from services.notifier.rules.domain import BLOCKED, DISABLED, FAILING, UNUSABLE, Opening, filled, rendered
from shared.contracts.base import rfc3339
from shared.contracts.notifier import EndpointDisabled
from shared.data.history import Act, record
from shared.web.authz import SYSTEM

WHY_OFF: Mapping[DisableReason, str] = {
    DisableReason.gone: "its receiver answered that it wants no more webhooks (HTTP 410)",
    DisableReason.only_failures: f"it answered nothing but failures for {DISABLE_AFTER.days} days",
    DisableReason.by_member: "by a member",
}
SWITCHED_OFF = Counter(
    "concordat_endpoints_disabled_total", "Endpoints switched off by the notifier", ("reason",)
)
# A counter that appears with a 1 shows no increase, so every series exists from the start.
for _reason in DisableReason:
    SWITCHED_OFF.labels(_reason.value)


async def tested(session: AsyncSession, at: Mapping[UUID, datetime]) -> None:
    """A test of these endpoints arrived at these instants."""
    for endpoint_id, tested_at in at.items():
        await session.execute(update(Endpoint).where(Endpoint.id == endpoint_id).values(tested_at=tested_at))


async def recover(session: AsyncSession, ailing: Collection[UUID], now: datetime) -> None:
    """Endpoints that had failed before are well again."""
    if not ailing:
        return
    endpoints = await session.scalars(
        select(Endpoint)
        .where(Endpoint.id.in_(ailing))
        .order_by(Endpoint.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    for endpoint in endpoints.all():
        endpoint.health, endpoint.warned_at = after_success(endpoint.health, now), None
        keys = [rendered(opening.dedup_key, {"endpoint_id": endpoint.id}) for opening in (FAILING, BLOCKED)]
        await alerts.clear(session, keys, [endpoint.org_id], _cause(endpoint), now)


async def judge(
    session: AsyncSession, endpoint: Endpoint, verdict: Verdict, window: Window, error: str, now: datetime
) -> None:
    """What a failure means for the endpoint: its circuit, a word to its owner, or switching it off."""
    endpoint.health = after_failure(endpoint.health, verdict, window, now)
    reason = disable_reason(endpoint.health, verdict, now)
    if not endpoint.enabled:
        return
    if reason is not None:
        await _switch_off(session, endpoint, reason, now)
    elif verdict is Verdict.blocked:
        await _alert_owner(session, "endpoint_blocked", BLOCKED, endpoint, now, reason=error)
    elif endpoint.warned_at is None and owner_must_know(endpoint.health, now):
        endpoint.warned_at = now
        await _alert_owner(session, "endpoint_failing", FAILING, endpoint, now)


async def report_unusable(session: AsyncSession, endpoint_id: UUID, now: datetime) -> None:
    """Nothing could be written for the endpoint: its owner must set its template and options again."""
    endpoint = await session.get_one(Endpoint, endpoint_id)
    await _alert_owner(session, "endpoint_unusable", UNUSABLE, endpoint, now)


async def _switch_off(
    session: AsyncSession, endpoint: Endpoint, reason: DisableReason, now: datetime
) -> None:
    endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason = False, now, reason
    SWITCHED_OFF.labels(reason.value).inc()
    event = EndpointDisabled(endpoint_id=endpoint.id, org_id=endpoint.org_id, reason=reason.value)
    await record(session, endpoint, Act("endpoint.disable", event), by=SYSTEM, now=now)
    await _alert_owner(session, "endpoint_disabled", DISABLED, endpoint, now, reason=WHY_OFF[reason])


async def _alert_owner(
    session: AsyncSession, rule: str, opening: Opening, endpoint: Endpoint, now: datetime, reason: str = ""
) -> None:
    """Open an alert in the owner's own list: the endpoint itself is the channel that fails."""
    facts = {
        "endpoint_id": endpoint.id,
        "name": endpoint.name,
        "reason": reason,
        "failing_since": rfc3339(endpoint.failing_since) if endpoint.failing_since else None,
    }
    opened = filled(rule, opening, facts)
    await alerts.raise_alerts(session, [endpoint.org_id], opened, _cause(endpoint), now)


def _cause(endpoint: Endpoint) -> alerts.Cause:
    return alerts.Cause(event_type=EndpointDisabled.TYPE, subject_id=endpoint.id)
