"""From a change of an alert to the deliveries it causes, in the transaction of the change."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.domain import Change
from services.notifier.alerts.service import Touched
from services.notifier.channels.webhook.domain.templates import (
    CONTENT_TYPES,
    Template,
    Ticket,
    body,
    options_of,
    passes_on,
)
from services.notifier.channels.webhook.service.bodies import ticket_of
from services.notifier.deliveries import queries
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.models import Delivery
from services.notifier.deliveries.queries import Subscription
from services.notifier.endpoints.models import Endpoint
from services.notifier.endpoints.service import health
from shared.contracts.base import Envelope
from shared.data.ids import uuid7
from shared.data.session import wake_after_commit
from shared.runtime.telemetry import current_traceparent

log = structlog.get_logger()

WAKE_UP = "delivery"
"""What a session that wrote deliveries wakes when it commits: the worker has something to send."""

Values = dict[str, Any]
"""The columns of a delivery to be inserted."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """The event behind a delivery: its id keeps deliveries unique, its JSON may be the body."""

    event_id: UUID
    event_type: str
    content: dict[str, Any]


def message(envelope: Envelope) -> Message:
    content = {name: value for name, value in envelope.model_dump(mode="json").items() if value is not None}
    return Message(event_id=envelope.id, event_type=envelope.type, content=content)


async def fan_out(session: AsyncSession, touched: Sequence[Touched], about: Message, now: datetime) -> None:
    """Write the deliveries of one event. An event is sent to an endpoint once as itself, with the first alert it touched."""
    subscriptions = await queries.subscriptions(session, {each.alert.org_id for each in touched})
    sent = await _sent_before(session, touched, subscriptions)
    rows: dict[tuple[UUID, UUID | None], Values] = {}
    for each in touched:
        for endpoint in subscriptions:
            alert_id = None if endpoint.template is Template.cloudevents else each.alert.id
            if (endpoint.id, alert_id) not in rows and _wants(endpoint, each, about, sent):
                rows |= await _rendered(session, endpoint, each, about, now, key=(endpoint.id, alert_id))
    await _write(session, list(rows.values()))


async def pass_on(session: AsyncSession, org_ids: Collection[UUID], about: Message, now: datetime) -> None:
    """Write the deliveries of an event that is evidence and no alert: to systems that take events as they are."""
    subscriptions = await queries.subscriptions(session, org_ids)
    takers = [
        each for each in subscriptions if _subscribed(each, about) and each.template is Template.cloudevents
    ]
    await _write(session, [_values(each, about, about.content, now) for each in takers])


async def _sent_before(
    session: AsyncSession, touched: Sequence[Touched], subscriptions: Sequence[Subscription]
) -> Collection[tuple[UUID, UUID]]:
    """Which endpoint was sent which alert before; a new alert was sent to none."""
    known = [each.alert.id for each in touched if each.change is not Change.opened]
    return await queries.sent_before(session, known) if known and subscriptions else ()


def _wants(
    endpoint: Subscription, touched: Touched, about: Message, sent: Collection[tuple[UUID, UUID]]
) -> bool:
    alert = touched.alert
    if endpoint.org_id != alert.org_id or not _subscribed(endpoint, about):
        return False
    if alert.priority.rank > endpoint.least_priority.rank:
        return False
    return passes_on(endpoint.template, touched.change, sent_before=(endpoint.id, alert.id) in sent)


def _subscribed(endpoint: Subscription, about: Message) -> bool:
    return not endpoint.event_types or about.event_type in endpoint.event_types


async def _rendered(
    session: AsyncSession,
    endpoint: Subscription,
    touched: Touched,
    about: Message,
    now: datetime,
    key: tuple[UUID, UUID | None],
) -> dict[tuple[UUID, UUID | None], Values]:
    """The delivery under its key. An endpoint whose body cannot be made gets none, and holds up no other."""
    try:
        values = delivery_values(endpoint, about, ticket_of(touched, about.content), now)
    except Exception as error:
        log.error("delivery_not_rendered", endpoint=str(endpoint.id), exc_info=error)
        await health.report_unusable(session, endpoint.id, now)
        return {}
    return {key: values | {"alert_id": touched.alert.id, "change": touched.change}}


async def _write(session: AsyncSession, rows: Sequence[Values]) -> None:
    if rows:
        await session.execute(insert(Delivery), rows)
        wake_after_commit(session, WAKE_UP)


def delivery_values(
    endpoint: Subscription | Endpoint, about: Message, ticket: Ticket, now: datetime
) -> Values:
    """A delivery due now, its body rendered for good: every attempt sends the same bytes."""
    content = body(endpoint.template, ticket, options_of(endpoint.template_options))
    return _values(endpoint, about, content, now)


def _values(
    endpoint: Subscription | Endpoint, about: Message, content: Mapping[str, object], now: datetime
) -> Values:
    return {
        "id": uuid7(),
        "version": 1,
        "created_at": now,
        "updated_at": now,
        "org_id": endpoint.org_id,
        "endpoint_id": endpoint.id,
        "alert_id": None,
        "event_id": about.event_id,
        "event_type": about.event_type,
        "change": None,
        "content_type": CONTENT_TYPES[endpoint.template],
        "body": json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        "is_test": False,
        "state": DeliveryState.pending,
        "attempt": 0,
        "round_start": 0,
        "next_attempt_at": now,
        "traceparent": current_traceparent(),
    }
