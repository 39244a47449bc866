"""What an attempt leaves behind: the delivery's next step, the log entry, the endpoint's health."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier import queries
from services.notifier.domain.health import (
    Circuit,
    DisableReason,
    after_failure,
    after_success,
    disable_reason,
    owner_must_know,
)
from services.notifier.domain.rules import BLOCKED, DISABLED, FAILING, Opening, filled, rendered
from services.notifier.domain.schedule import (
    DeliveryState,
    Next,
    Verdict,
    after_attempt,
    retry_after,
    verdict_of_fault,
    verdict_of_status,
)
from services.notifier.egress import Answer
from services.notifier.metrics import DELIVERIES, LOST_LEASES
from services.notifier.metrics import DISABLED as DISABLED_COUNT
from services.notifier.models import Delivery, DeliveryAttempt, Endpoint
from services.notifier.service import alerts
from services.notifier.service.claiming import Claimed
from shared.contracts.base import rfc3339
from shared.contracts.notifier import DeliveryExhausted, EndpointDisabled
from shared.data.history import record
from shared.data.ids import uuid7
from shared.web.authz import SYSTEM


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One attempt and its answer."""

    claimed: Claimed
    answer: Answer
    finished_at: datetime

    @property
    def verdict(self) -> Verdict:
        if self.answer.status is not None:
            return verdict_of_status(self.answer.status)
        return verdict_of_fault(self.answer.fault) if self.answer.fault else Verdict.retry


_KEEP_DELIVERED = text(
    """
    WITH given AS (
      SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS uuid[]), CAST(:attempt_ids AS uuid[]),
                           CAST(:finished AS timestamptz[]), CAST(:durations AS integer[]),
                           CAST(:statuses AS integer[]), CAST(:addresses AS text[]), CAST(:excerpts AS text[]))
                    AS g(id, token, attempt_id, finished_at, duration_ms, status, address, excerpt)),
    kept AS (
      UPDATE delivery d
         SET state = 'done', done_at = g.finished_at, updated_at = g.finished_at, last_status = g.status,
             last_error = NULL, next_attempt_at = NULL, lease_token = NULL, lease_until = NULL
        FROM given g WHERE d.id = g.id AND d.lease_token = g.token
      RETURNING d.id, d.endpoint_id, d.org_id, d.attempt)
    INSERT INTO delivery_attempt (id, delivery_id, endpoint_id, org_id, number, finished_at, duration_ms,
                                  verdict, status, error, address, excerpt)
    SELECT g.attempt_id, k.id, k.endpoint_id, k.org_id, k.attempt, g.finished_at, g.duration_ms,
           'delivered', g.status, '', g.address, g.excerpt
      FROM kept k JOIN given g ON g.id = k.id
    RETURNING endpoint_id
    """
)


async def keep_delivered(session: AsyncSession, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Write successes as one batch; results whose lease was lost are dropped."""
    kept = await session.scalars(_KEEP_DELIVERED, _columns(outcomes))
    endpoint_ids = kept.all()
    LOST_LEASES.inc(len(outcomes) - len(endpoint_ids))
    DELIVERIES.labels(DeliveryState.done.value).inc(len(endpoint_ids))
    tests = {o.claimed.endpoint_id: o.finished_at for o in outcomes if o.claimed.is_test}
    for endpoint_id, tested_at in tests.items():
        await session.execute(update(Endpoint).where(Endpoint.id == endpoint_id).values(tested_at=tested_at))
    await _recover(session, set(endpoint_ids) - set(tests), now)


def _columns(outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "ids": [o.claimed.id for o in outcomes],
        "tokens": [o.claimed.lease_token for o in outcomes],
        "attempt_ids": [uuid7() for _ in outcomes],
        "finished": [o.finished_at for o in outcomes],
        "durations": [_milliseconds(o) for o in outcomes],
        "statuses": [o.answer.status for o in outcomes],
        "addresses": [o.answer.address for o in outcomes],
        "excerpts": [o.answer.excerpt for o in outcomes],
    }


def _milliseconds(outcome: Outcome) -> int:
    return round(outcome.answer.duration.total_seconds() * 1000)


async def _recover(session: AsyncSession, endpoint_ids: set[UUID], now: datetime) -> None:
    """Endpoints that had failed before are well again; the others are not touched at all."""
    ailing = await session.scalars(
        select(Endpoint)
        .where(
            Endpoint.id.in_(endpoint_ids),
            (Endpoint.failures_in_a_row > 0) | (Endpoint.circuit == Circuit.open),
        )
        .order_by(Endpoint.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    for endpoint in ailing.all():
        endpoint.health, endpoint.warned_at = after_success(endpoint.health, now), None
        keys = [rendered(opening.dedup_key, {"endpoint_id": endpoint.id}) for opening in (FAILING, BLOCKED)]
        await alerts.clear(session, keys, [endpoint.org_id], _cause(endpoint), now)


async def keep_failed(session: AsyncSession, outcome: Outcome, now: datetime, jitter: float) -> None:
    """Write one failure: the next attempt or the end, and what it means for the endpoint."""
    claimed = outcome.claimed
    endpoint = await session.get_one(Endpoint, claimed.endpoint_id, with_for_update={"key_share": True})
    delivery = await _held(session, claimed)
    if delivery is None:
        LOST_LEASES.inc()
        return
    session.add(_attempt(delivery, outcome))
    await session.flush()
    await _settle(session, delivery, outcome, now, jitter)
    if not claimed.is_test:
        await _judge(session, endpoint, outcome, now)


async def _held(session: AsyncSession, claimed: Claimed) -> Delivery | None:
    found = await session.scalars(
        select(Delivery)
        .where(Delivery.id == claimed.id, Delivery.lease_token == claimed.lease_token)
        .with_for_update()
    )
    return found.one_or_none()


def _attempt(delivery: Delivery, outcome: Outcome) -> DeliveryAttempt:
    answer = outcome.answer
    return DeliveryAttempt(
        delivery_id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        org_id=delivery.org_id,
        number=delivery.attempt,
        finished_at=outcome.finished_at,
        duration_ms=_milliseconds(outcome),
        verdict=outcome.verdict,
        status=answer.status,
        fault=answer.fault,
        error=answer.error,
        address=answer.address,
        excerpt=answer.excerpt,
    )


async def _settle(
    session: AsyncSession, delivery: Delivery, outcome: Outcome, now: datetime, jitter: float
) -> None:
    delivery.last_status = outcome.answer.status
    delivery.last_error = outcome.answer.error or outcome.verdict.value
    wait = retry_after(outcome.answer.retry_after, now)
    made = delivery.attempt - delivery.round_start
    after = after_attempt(outcome.verdict, made, now, jitter=jitter, wait=wait)
    if delivery.is_test:
        # A test answers its owner's question once; nobody wants it again tomorrow.
        after = Next(state=DeliveryState.exhausted)
    await release(session, delivery, after, now)


async def release(session: AsyncSession, delivery: Delivery, after: Next, now: datetime) -> None:
    """Give up the lease; a delivery that is exhausted says so to the world, unless it was a test."""
    delivery.state, delivery.next_attempt_at = after.state, after.at
    delivery.lease_token = delivery.lease_until = None
    delivery.updated_at = now
    if after.state is not DeliveryState.exhausted or delivery.is_test:
        return
    DELIVERIES.labels(after.state.value).inc()
    event = DeliveryExhausted(
        delivery_id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        org_id=delivery.org_id,
        attempts=delivery.attempt,
    )
    await record(session, by=SYSTEM, action="delivery.exhaust", row=delivery, event=event, now=now)


async def _judge(session: AsyncSession, endpoint: Endpoint, outcome: Outcome, now: datetime) -> None:
    """What a failure means for the endpoint: its circuit, a word to its owner, or switching it off."""
    window = await queries.window(session, endpoint.id, endpoint.health.window_start(now))
    endpoint.health = after_failure(endpoint.health, outcome.verdict, window, now)
    reason = disable_reason(endpoint.health, outcome.verdict, now)
    if not endpoint.enabled:
        return
    if reason is not None:
        await _switch_off(session, endpoint, reason, now)
    elif outcome.verdict is Verdict.blocked:
        await _tell_owner(session, "endpoint_blocked", BLOCKED, endpoint, now, reason=outcome.answer.error)
    elif endpoint.warned_at is None and owner_must_know(endpoint.health, now):
        endpoint.warned_at = now
        await _tell_owner(session, "endpoint_failing", FAILING, endpoint, now)


async def _switch_off(
    session: AsyncSession, endpoint: Endpoint, reason: DisableReason, now: datetime
) -> None:
    endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason = False, now, reason
    DISABLED_COUNT.labels(reason.value).inc()
    event = EndpointDisabled(endpoint_id=endpoint.id, org_id=endpoint.org_id, reason=reason.value)
    await record(session, by=SYSTEM, action="endpoint.disable", row=endpoint, event=event, now=now)
    await _tell_owner(session, "endpoint_disabled", DISABLED, endpoint, now, reason=reason.value)


async def _tell_owner(
    session: AsyncSession, rule: str, opening: Opening, endpoint: Endpoint, now: datetime, reason: str = ""
) -> None:
    """Open an alert in the owner's own list: the endpoint itself is the channel that fails."""
    facts = {
        "endpoint_id": endpoint.id,
        "name": endpoint.name,
        "reason": reason,
        "failing_since": rfc3339(endpoint.failing_since) if endpoint.failing_since else None,
    }
    await alerts.raise_alert(session, endpoint.org_id, filled(rule, opening, facts), _cause(endpoint), now)


def _cause(endpoint: Endpoint) -> alerts.Cause:
    return alerts.Cause(event_type=EndpointDisabled.TYPE, subject_id=endpoint.id)
