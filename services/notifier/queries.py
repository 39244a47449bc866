"""Selects of the notifier that are worth a name."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.notifier.domain.alerts import AlertState, Priority
from services.notifier.domain.health import Window
from services.notifier.domain.schedule import DeliveryState, Verdict
from services.notifier.models import UNRESOLVED, Alert, Delivery, DeliveryAttempt, Endpoint, EndpointSecret
from services.notifier.vault import Purpose
from shared.web.problems import NotFound


def alerts(
    *,
    state: AlertState | None = None,
    priority: Priority | None = None,
    rule: str | None = None,
    charter_id: UUID | None = None,
    roles: Collection[str] | None = None,
) -> Select[Alert]:
    """Alerts by filter; `roles` keeps those addressed to one of them."""
    wanted: list[ColumnElement[bool]] = []
    if state is not None:
        wanted.append(Alert.state == state)
    if priority is not None:
        wanted.append(Alert.priority == priority)
    if rule is not None:
        wanted.append(Alert.rule == rule)
    if charter_id is not None:
        wanted.append(Alert.charter_id == charter_id)
    if roles is not None:
        wanted.append(Alert.roles.overlap(list(roles)))
    return select(Alert).where(*wanted)


async def alert_with_history(session: AsyncSession, alert_id: UUID) -> Alert:
    found = await session.scalars(
        select(Alert)
        .where(Alert.id == alert_id)
        .options(selectinload(Alert.history))
        .execution_options(populate_existing=True)
    )
    alert = found.one_or_none()
    if alert is None:
        raise NotFound("alert")
    return alert


async def unresolved(
    session: AsyncSession, dedup_keys: Sequence[str], org_ids: Collection[UUID]
) -> Sequence[Alert]:
    """The unresolved alerts of these organizations with these keys, locked in one order."""
    found = await session.scalars(
        select(Alert)
        .where(
            Alert.dedup_key.in_(dedup_keys),
            Alert.org_id.in_(org_ids),
            UNRESOLVED,  # word for word, or a plan for any state could not use the index of the unresolved
        )
        .order_by(Alert.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.all()


def endpoints() -> Select[Endpoint]:
    return select(Endpoint).where(Endpoint.deleted_at.is_(None))


async def listening_endpoints(session: AsyncSession, org_id: UUID) -> Sequence[Endpoint]:
    """The endpoints of an organization that new events are delivered to."""
    found = await session.scalars(endpoints().where(Endpoint.org_id == org_id, Endpoint.enabled))
    return found.all()


async def has_heard_of(session: AsyncSession, endpoint_id: UUID, alert_id: UUID) -> bool:
    found = await session.scalar(
        select(Delivery.id).where(Delivery.alert_id == alert_id, Delivery.endpoint_id == endpoint_id).limit(1)
    )
    return found is not None


async def newest_secret_version(session: AsyncSession, endpoint_id: UUID, purpose: Purpose) -> int:
    """0 when the endpoint never had a secret for that purpose."""
    newest = await session.scalar(
        select(func.max(EndpointSecret.secret_version)).where(
            EndpointSecret.endpoint_id == endpoint_id, EndpointSecret.purpose == purpose
        )
    )
    return newest or 0


async def active_secrets(
    session: AsyncSession, endpoint_ids: Collection[UUID], now: datetime
) -> Sequence[EndpointSecret]:
    """Secrets in force, newest first."""
    found = await session.scalars(
        select(EndpointSecret)
        .where(
            EndpointSecret.endpoint_id.in_(endpoint_ids),
            EndpointSecret.expires_at.is_(None) | (EndpointSecret.expires_at > now),
        )
        .order_by(EndpointSecret.secret_version.desc())
    )
    return found.all()


def deliveries(
    *,
    endpoint_id: UUID | None = None,
    alert_id: UUID | None = None,
    state: DeliveryState | None = None,
    event_type: str | None = None,
) -> Select[Delivery]:
    wanted: list[ColumnElement[bool]] = []
    if endpoint_id is not None:
        wanted.append(Delivery.endpoint_id == endpoint_id)
    if alert_id is not None:
        wanted.append(Delivery.alert_id == alert_id)
    if state is not None:
        wanted.append(Delivery.state == state)
    if event_type is not None:
        wanted.append(Delivery.event_type == event_type)
    return select(Delivery).where(*wanted)


async def delivery_with_attempts(session: AsyncSession, delivery_id: UUID) -> Delivery:
    found = await session.scalars(
        select(Delivery)
        .where(Delivery.id == delivery_id)
        .options(selectinload(Delivery.attempts))
        .execution_options(populate_existing=True)
    )
    delivery = found.one_or_none()
    if delivery is None:
        raise NotFound("delivery")
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
