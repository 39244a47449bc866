"""What an attempt leaves behind: the delivery's next step, the log entry, the endpoint's health."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from prometheus_client import Counter as Count
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.channels.domain import Answer, Verdict
from services.notifier.deliveries import queries
from services.notifier.deliveries.domain import DeliveryState, Next, after_attempt
from services.notifier.deliveries.models import Delivery, DeliveryAttempt
from services.notifier.deliveries.service.claiming import Claimed
from services.notifier.endpoints.models import Endpoint
from services.notifier.endpoints.service import health
from shared.contracts.notifier import DeliveryExhausted
from shared.data.history import Act, record
from shared.data.ids import uuid7
from shared.web.authz import SYSTEM

log = structlog.get_logger()

FIRST_DISTANCE = timedelta(seconds=1)
LONGEST_DISTANCE = timedelta(seconds=30)
DELIVERIES = Count("concordat_deliveries_total", "Deliveries that ended, by outcome", ("outcome",))
LOST_LEASES = Count(
    "concordat_delivery_lost_leases_total",
    "Results dropped because their lease was over when they were written",
)
# A counter that appears with a 1 shows no increase, so every series exists from the start.
for _outcome in (DeliveryState.done, DeliveryState.exhausted, DeliveryState.cancelled):
    DELIVERIES.labels(_outcome.value)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One attempt and its answer."""

    claimed: Claimed
    answer: Answer
    finished_at: datetime

    @property
    def verdict(self) -> Verdict:
        return self.answer.verdict


@dataclass
class _Waiting:
    outcome: Outcome
    tries: int = 0
    again_at: datetime | None = None


class Unwritten:
    """Results on their way into the database. They count only while the lease of their delivery lasts."""

    def __init__(self) -> None:
        self._results: dict[UUID, _Waiting] = {}

    def add(self, outcome: Outcome) -> None:
        self._results[outcome.claimed.lease_token] = _Waiting(outcome)

    def held(self) -> Counter[UUID]:
        """How many deliveries of each endpoint wait for their result to be written."""
        return Counter(waiting.outcome.claimed.endpoint_id for waiting in self._results.values())

    def ready(self, now: datetime) -> list[Outcome]:
        """What is to be written now; results that came too late are dropped."""
        for waiting in list(self._results.values()):
            if waiting.tries and waiting.outcome.claimed.lease_until <= now:
                log.error("result_lost", delivery=str(waiting.outcome.claimed.id), tries=waiting.tries)
                LOST_LEASES.inc()
                self.written([waiting.outcome])
        return [w.outcome for w in self._results.values() if w.again_at is None or w.again_at <= now]

    def written(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            del self._results[outcome.claimed.lease_token]

    def postpone(self, outcome: Outcome, now: datetime) -> None:
        """Try again later, and twice as late after each failure."""
        waiting = self._results[outcome.claimed.lease_token]
        waiting.again_at = now + min(FIRST_DISTANCE * 2**waiting.tries, LONGEST_DISTANCE)
        waiting.tries += 1


async def keep(
    session: AsyncSession, outcomes: Sequence[Outcome], now: datetime, jitter: Callable[[], float]
) -> None:
    """Write results: successes as one batch, then each failure; what lost its lease is dropped."""
    delivered = [outcome for outcome in outcomes if outcome.verdict is Verdict.delivered]
    failed = [outcome for outcome in outcomes if outcome.verdict is not Verdict.delivered]
    if delivered:
        await _keep_delivered(session, delivered, now)
    # In one order of endpoints, so that two workers do not wait for each other.
    for outcome in sorted(failed, key=lambda each: each.claimed.endpoint_id):
        await _keep_failed(session, outcome, now, jitter())


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
      RETURNING d.id, d.endpoint_id, d.org_id, d.attempt),
    logged AS (
      INSERT INTO delivery_attempt (id, delivery_id, endpoint_id, org_id, number, finished_at, duration_ms,
                                    verdict, status, error, address, excerpt)
      SELECT g.attempt_id, k.id, k.endpoint_id, k.org_id, k.attempt, g.finished_at, g.duration_ms,
             'delivered', g.status, '', g.address, g.excerpt
        FROM kept k JOIN given g ON g.id = k.id)
    SELECT e.id, count(*) AS delivered, e.failures_in_a_row > 0 OR e.circuit = 'open' AS ailing
      FROM kept k JOIN endpoint e ON e.id = k.endpoint_id GROUP BY e.id
    """
)


async def _keep_delivered(session: AsyncSession, outcomes: Sequence[Outcome], now: datetime) -> None:
    kept = (await session.execute(_KEEP_DELIVERED, _columns(outcomes))).all()
    delivered = sum(each.delivered for each in kept)
    LOST_LEASES.inc(len(outcomes) - delivered)
    DELIVERIES.labels(DeliveryState.done.value).inc(delivered)
    tests = {o.claimed.endpoint_id: o.finished_at for o in outcomes if o.claimed.is_test}
    await health.tested(session, tests)
    await health.recover(session, {each.id for each in kept if each.ailing} - set(tests), now)


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


async def _keep_failed(session: AsyncSession, outcome: Outcome, now: datetime, jitter: float) -> None:
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
        window = await queries.window(session, endpoint.id, endpoint.health.window_start(now))
        await health.judge(session, endpoint, outcome.verdict, window, outcome.answer.error, now)
    await session.flush()


async def _held(session: AsyncSession, claimed: Claimed) -> Delivery | None:
    result = await session.scalars(
        select(Delivery)
        .where(Delivery.id == claimed.id, Delivery.lease_token == claimed.lease_token)
        .with_for_update()
    )
    return result.one_or_none()


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
    delivery.last_error = outcome.answer.error
    made = delivery.attempt - delivery.round_start
    after = after_attempt(outcome.verdict, made, now, jitter=jitter, wait=outcome.answer.wait)
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
    await record(session, delivery, Act("delivery.exhaust", event), by=SYSTEM, now=now)
