"""Deliveries as their owner handles them: read, replayed one by one or by range."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.domain.schedule import DeliveryState
from services.notifier.models import Delivery
from services.notifier.service import endpoints
from services.notifier.service.fanout import NEWS
from shared.data.history import note
from shared.data.session import announce, load_for_update
from shared.pure.refusal import Refusal
from shared.web.authz import Principal
from shared.web.problems import NotFound

UNDELIVERED = (DeliveryState.exhausted, DeliveryState.cancelled)


async def replay(
    session: AsyncSession, caller: Principal, delivery_id: UUID, expected: int, now: datetime
) -> Delivery:
    """Send it again with the same webhook-id, starting its schedule anew."""
    delivery = await load_for_update(session, Delivery, delivery_id, expected)
    if delivery.state is DeliveryState.in_flight:
        raise Refusal("delivery_in_flight", "It is being sent right now. Look again in a moment.")
    try:
        await endpoints.find(session, delivery.endpoint_id)
    except NotFound:
        raise Refusal("endpoint_deleted", "Its endpoint no longer exists.") from None
    delivery.state, delivery.next_attempt_at, delivery.done_at = DeliveryState.pending, now, None
    delivery.round_start = delivery.attempt
    await note(session, by=caller, action="delivery.replay", row=delivery, kind="delivery", now=now)
    announce(session, NEWS)
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
    await note(
        session, by=caller, action="endpoint.replay", row=endpoint, kind="endpoint", now=now, detail=detail
    )
    announce(session, NEWS)
    return count
