"""Housekeeping of the notifier: lost leases, old deliveries, secrets under an old key."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.domain.schedule import SCHEDULE, DeliveryState, Next
from services.notifier.metrics import OLDEST_DUE, QUEUE
from services.notifier.models import Delivery, DeliveryAttempt, EndpointSecret
from services.notifier.service.results import release
from services.notifier.service.secrets import rewrap
from services.notifier.vault import Vault
from shared.runtime.timers import Timer

BATCH = 50
KEPT_FOR = timedelta(days=90)
ENDED = (DeliveryState.done, DeliveryState.exhausted, DeliveryState.cancelled)
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


async def give_back_leases(session: AsyncSession, now: datetime) -> int:
    """A worker died or hung while sending: its attempt counts, the next one is due at once."""
    lost = await session.scalars(
        select(Delivery)
        .where(Delivery.state == DeliveryState.in_flight, Delivery.lease_until <= now)
        .order_by(Delivery.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return await _give_back(session, lost.all(), now)


async def _give_back(session: AsyncSession, lost: Sequence[Delivery], now: datetime) -> int:
    for delivery in lost:
        is_over = delivery.is_test or delivery.attempt - delivery.round_start >= len(SCHEDULE)
        after = Next(state=DeliveryState.exhausted) if is_over else Next(state=DeliveryState.pending, at=now)
        delivery.last_error = "the worker stopped while sending"
        await release(session, delivery, after, now)
    return len(lost)


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


async def forget_old_secrets(session: AsyncSession, now: datetime) -> int:
    """Secrets whose overlap ended sign nothing any more."""
    gone = await session.scalars(
        delete(EndpointSecret).where(EndpointSecret.expires_at <= now).returning(EndpointSecret.id)
    )
    return len(gone.all())


async def measure_queue(session: AsyncSession, now: datetime) -> int:
    """Set the gauges of what is not ended; handles no rows."""
    queue = (await session.execute(_QUEUE, {"now": now})).one()
    for state in ("due", "later", "held", "in_flight"):
        QUEUE.labels(state).set(getattr(queue, state))
    OLDEST_DUE.set((now - queue.oldest).total_seconds() if queue.oldest else 0)
    return 0


def timers(vault: Vault) -> tuple[Timer, ...]:
    """The notifier's timers; re-wrapping needs the vault."""

    async def rewrap_secrets(session: AsyncSession, now: datetime) -> int:
        rows = await session.scalars(
            select(EndpointSecret)
            .where(EndpointSecret.key_id != vault.current_key_id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        return sum(rewrap(vault, row) for row in rows.all())

    return (
        Timer("lease_expiry", timedelta(seconds=5), give_back_leases),
        Timer("delivery_expiry", timedelta(hours=1), forget_old_deliveries),
        Timer("secret_expiry", timedelta(minutes=5), forget_old_secrets),
        Timer("secret_rewrap", timedelta(minutes=5), rewrap_secrets),
        Timer("delivery_queue", timedelta(seconds=10), measure_queue),
    )
