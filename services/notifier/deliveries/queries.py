"""Selects of deliveries that are worth a name."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.notifier.alerts.domain import Priority
from services.notifier.channels.domain import Verdict
from services.notifier.channels.webhook.domain.templates import Template
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.models import Delivery, DeliveryAttempt
from services.notifier.endpoints.domain import Window
from shared.data.listing import Listing, any_of
from shared.data.session import EnumText
from shared.pure.refusal import Missing


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an endpoint wants to be sent, and how."""

    id: UUID
    org_id: UUID
    template: Template
    template_options: dict[str, Any]
    event_types: list[str]
    least_priority: Priority


_SUBSCRIPTIONS = text(
    """
    SELECT id, org_id, template, template_options, event_types, least_priority FROM endpoint
     WHERE org_id = ANY(:orgs) AND enabled AND deleted_at IS NULL ORDER BY id
    """
).columns(template=EnumText(Template), template_options=JSONB, least_priority=EnumText(Priority))


async def subscriptions(session: AsyncSession, org_ids: Collection[UUID]) -> Sequence[Subscription]:
    """The endpoints of these organizations that new events are delivered to."""
    rows = await session.execute(_SUBSCRIPTIONS, {"orgs": list(org_ids)}) if org_ids else ()
    return [Subscription(*row) for row in rows]


async def sent_before(session: AsyncSession, alert_ids: Collection[UUID]) -> set[tuple[UUID, UUID]]:
    """Which endpoint was sent which of these alerts: (endpoint, alert)."""
    rows = await session.execute(
        select(Delivery.endpoint_id, Delivery.alert_id).where(Delivery.alert_id.in_(alert_ids)).distinct()
    )
    return {(row.endpoint_id, row.alert_id) for row in rows if row.alert_id}


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
    result = await session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(selectinload(Delivery.attempts))
        .execution_options(populate_existing=True)
    )
    delivery = result.one_or_none()
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
