"""Selects of deliveries that are worth a name."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.notifier.channels.domain import Verdict
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.models import Delivery, DeliveryAttempt
from services.notifier.endpoints.domain import Window
from services.notifier.endpoints.models import Endpoint
from shared.data.listing import Listing, any_of
from shared.pure.refusal import Missing


async def listening_endpoints(session: AsyncSession, org_id: UUID) -> Sequence[Endpoint]:
    """The endpoints of an organization that new events are delivered to."""
    found = await session.scalars(
        select(Endpoint).where(Endpoint.org_id == org_id, Endpoint.enabled, Endpoint.deleted_at.is_(None))
    )
    return found.all()


async def has_heard_of(session: AsyncSession, endpoint_id: UUID, alert_id: UUID) -> bool:
    found = await session.scalar(
        select(Delivery.id).where(Delivery.alert_id == alert_id, Delivery.endpoint_id == endpoint_id).limit(1)
    )
    return found is not None


def deliveries(
    *,
    endpoint_id: Sequence[UUID] | None = None,
    alert_id: Sequence[UUID] | None = None,
    state: Sequence[DeliveryState] | None = None,
    event_type: Sequence[str] | None = None,
) -> Listing[Delivery]:
    """The delivery log. Each filter takes any of several values."""
    wanted = select(Delivery).where(
        *any_of(Delivery.endpoint_id, endpoint_id),
        *any_of(Delivery.alert_id, alert_id),
        *any_of(Delivery.state, state),
        *any_of(Delivery.event_type, event_type),
    )
    return Listing(wanted, Delivery)


async def delivery_with_attempts(session: AsyncSession, delivery_id: UUID) -> Delivery:
    found = await session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(selectinload(Delivery.attempts))
        .execution_options(populate_existing=True)
    )
    delivery = found.one_or_none()
    if delivery is None:
        raise Missing("delivery")
    return delivery


async def window(session: AsyncSession, endpoint_id: UUID, since: datetime) -> Window:
    """How the attempts of an endpoint went since then."""
    failed = func.count().filter(DeliveryAttempt.verdict != Verdict.delivered)
    row = (
        await session.execute(
            select(func.count(), failed).where(
                DeliveryAttempt.endpoint_id == endpoint_id, DeliveryAttempt.finished_at >= since
            )
        )
    ).one()
    return Window(attempts=row[0], failures=row[1])
