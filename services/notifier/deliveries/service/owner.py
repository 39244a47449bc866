"""What the owner of an endpoint does with its deliveries: tests, replays by one or by range, cancels."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.channels.webhook.service.bodies import TEST_EVENT, sample_event, sample_ticket
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.models import Delivery
from services.notifier.deliveries.service.fanout import WAKE_UP, Message, delivery_values
from services.notifier.deliveries.service.results import DELIVERIES
from services.notifier.endpoints import queries as endpoints
from shared.data.history import Act, record
from shared.data.ids import uuid7
from shared.data.session import load_for_update, wake_after_commit
from shared.pure.refusal import Missing, Refused
from shared.web.authz import Principal

UNDELIVERED = (DeliveryState.exhausted, DeliveryState.cancelled)


async def replay(
    session: AsyncSession, caller: Principal, delivery_id: UUID, expected: int, now: datetime
) -> Delivery:
    """Send it again with the same webhook-id, starting its schedule anew."""
    delivery = await load_for_update(session, Delivery, delivery_id, expected)
    if delivery.state is DeliveryState.in_flight:
        raise Refused("delivery_in_flight", "It is being sent right now. Look again in a moment.")
    try:
        await endpoints.find(session, delivery.endpoint_id)
    except Missing:
        raise Refused("endpoint_deleted", "Its endpoint no longer exists.") from None
    delivery.state, delivery.next_attempt_at, delivery.done_at = DeliveryState.pending, now, None
    delivery.round_start = delivery.attempt
    await record(session, delivery, Act("delivery.replay"), by=caller, now=now)
    wake_after_commit(session, WAKE_UP)
    return delivery


async def replay_range(
    session: AsyncSession,
    caller: Principal,
    endpoint_id: UUID,
    since: datetime,
    until: datetime,
    *,
    delivered_too: bool,
    now: datetime,
) -> int:
    """Send again what was created from `since` to before `until` and never arrived; how many."""
    endpoint = await endpoints.find_for_update(session, endpoint_id, None)
    states = (*UNDELIVERED, DeliveryState.done) if delivered_too else UNDELIVERED
    replayed = await session.scalars(
        update(Delivery)
        .where(
            Delivery.endpoint_id == endpoint_id,
            Delivery.created_at >= since,
            Delivery.created_at < until,
            Delivery.state.in_(states),
            Delivery.is_test.is_(False),
        )
        .values(
            state=DeliveryState.pending,
            next_attempt_at=now,
            done_at=None,
            round_start=Delivery.attempt,
            version=Delivery.version + 1,
            updated_at=now,
        )
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    count = len(replayed.all())
    detail = {"since": since.isoformat(), "until": until.isoformat(), "deliveries": count}
    await record(session, endpoint, Act("endpoint.replay", detail=detail), by=caller, now=now)
    wake_after_commit(session, WAKE_UP)
    return count


async def send_test(session: AsyncSession, caller: Principal, endpoint_id: UUID, now: datetime) -> Delivery:
    """Queue a sample message, sent once even while the endpoint is off or its circuit open."""
    endpoint = await endpoints.find(session, endpoint_id)
    event_id = uuid7()
    event = sample_event(event_id, str(endpoint.id), now, endpoint_id=str(endpoint.id), name=endpoint.name)
    about = Message(event_id=event_id, event_type=TEST_EVENT, content=event)
    values = delivery_values(endpoint, about, sample_ticket(event, now), now)
    delivery = Delivery(**values | {"is_test": True, "version": 0})
    session.add(delivery)
    await record(session, delivery, Act("endpoint.test"), by=caller, now=now)
    wake_after_commit(session, WAKE_UP)
    return delivery


async def cancel_waiting(session: AsyncSession, endpoint_id: UUID, now: datetime) -> None:
    """Nothing that waits for the endpoint is sent any more."""
    cancelled = await session.execute(
        update(Delivery)
        .where(Delivery.endpoint_id == endpoint_id, Delivery.state == DeliveryState.pending)
        .values(state=DeliveryState.cancelled, next_attempt_at=None, updated_at=now)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    DELIVERIES.labels(DeliveryState.cancelled.value).inc(len(cancelled.all()))
