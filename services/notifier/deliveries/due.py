"""Housekeeping of deliveries: lost leases, old deliveries, the gauges of the queue."""

from datetime import datetime, timedelta

import structlog
from prometheus_client import Gauge
from sqlalchemy import delete, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.deliveries.domain import DeliveryState, Next, after_lost_lease
from services.notifier.deliveries.models import Delivery, DeliveryAttempt
from services.notifier.deliveries.service.results import release
from shared.data.database_errors import DatabaseError, kind_of
from shared.runtime.clock import Clock
from shared.runtime.timers import Timer

log = structlog.get_logger()

BATCH = 50
SET_ASIDE = timedelta(minutes=5)
LOST = (
    "The notifier stopped while sending, or could not write down what came of it. It is sent again by itself, so it may "
    "arrive twice."
)
KEPT_FOR = timedelta(days=90)
QUEUE = Gauge("concordat_delivery_queue", "Deliveries not ended, by what they wait for", ("state",))
OLDEST_DUE = Gauge(
    "concordat_delivery_oldest_due_seconds", "How long the delivery that is due longest has been due"
)
ENDED = (DeliveryState.done, DeliveryState.exhausted, DeliveryState.cancelled)
_LATER = text("UPDATE delivery SET lease_until = :later WHERE id = :id")
_QUEUE = text(
    """
    SELECT count(*) FILTER (WHERE what = 'due') AS due, count(*) FILTER (WHERE what = 'later') AS later,
           count(*) FILTER (WHERE what = 'held') AS held, count(*) FILTER (WHERE what = 'in_flight') AS in_flight,
           min(next_attempt_at) FILTER (WHERE what = 'due') AS oldest
      FROM (SELECT d.next_attempt_at,
                   CASE WHEN d.state = 'in_flight' THEN 'in_flight'
                        WHEN d.next_attempt_at > :now THEN 'later'
                        WHEN e.enabled AND (e.circuit = 'closed' OR e.circuit_open_until <= :now) THEN 'due'
                        ELSE 'held' END AS what
              FROM delivery d JOIN endpoint e ON e.id = d.endpoint_id
             WHERE d.state = 'pending' OR d.state = 'in_flight') AS open
    """
)


async def give_back_leases(session: AsyncSession, now: datetime, real_now: datetime) -> int:
    """A worker died or hung while sending, or could not write what came of it: its attempt counts.

    Leases run in real time, also where the clock was moved.
    """
    result = await session.scalars(
        select(Delivery)
        .where(Delivery.state == DeliveryState.in_flight, Delivery.lease_until <= real_now)
        .order_by(Delivery.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    lost = {delivery.id: delivery for delivery in result.all()}
    for delivery_id, delivery in lost.items():
        try:
            async with session.begin_nested():
                await _give_back(session, delivery, now)
        except SQLAlchemyError as error:
            if kind_of(error) is DatabaseError.UNAVAILABLE:
                raise
            # Out of the way, or the others would wait behind it.
            log.error("lease_not_given_back", delivery=str(delivery_id), exc_info=error)
            await session.execute(_LATER, {"id": delivery_id, "later": real_now + SET_ASIDE})
    return len(lost)


async def _give_back(session: AsyncSession, delivery: Delivery, now: datetime) -> None:
    after = after_lost_lease(delivery.attempt - delivery.round_start, now)
    delivery.last_error = LOST
    await release(session, delivery, Next(state=DeliveryState.exhausted) if delivery.is_test else after, now)
    await session.flush()


async def forget_old_deliveries(session: AsyncSession, now: datetime) -> int:
    """Deliveries may be replayed for ninety days; then they and their log go."""
    old = await session.scalars(
        select(Delivery.id)
        .where(Delivery.state.in_(ENDED), Delivery.created_at < now - KEPT_FOR)
        .order_by(Delivery.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    ids = old.all()
    await session.execute(delete(DeliveryAttempt).where(DeliveryAttempt.delivery_id.in_(ids)))
    await session.execute(delete(Delivery).where(Delivery.id.in_(ids)))
    return len(ids)


async def measure_queue(session: AsyncSession, now: datetime) -> int:
    """Set the gauges of what is not ended; handles no rows."""
    queue = (await session.execute(_QUEUE, {"now": now})).one()
    for state in ("due", "later", "held", "in_flight"):
        QUEUE.labels(state).set(getattr(queue, state))
    OLDEST_DUE.set((now - queue.oldest).total_seconds() if queue.oldest else 0)
    return 0


def timers(real_time: Clock) -> tuple[Timer, ...]:
    """The timers of deliveries; `real_time` is that of their leases."""

    async def expire_leases(session: AsyncSession, now: datetime) -> int:
        return await give_back_leases(session, now, real_time())

    return (
        Timer("lease_expiry", timedelta(seconds=5), expire_leases),
        Timer("delivery_expiry", timedelta(hours=1), forget_old_deliveries),
        Timer("delivery_queue", timedelta(seconds=10), measure_queue),
    )
