"""From a change of an alert to the deliveries it causes, in the transaction of the change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.domain import Change
from services.notifier.alerts.service import Touched
from services.notifier.channels.webhook.domain.templates import (
    CONTENT_TYPES,
    Template,
    Ticket,
    body,
    passes_on,
)
from services.notifier.channels.webhook.service.bodies import options_of, ticket_of
from services.notifier.deliveries import queries
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.models import Delivery
from services.notifier.endpoints.models import Endpoint
from shared.contracts.base import Envelope
from shared.data.session import wake_after_commit
from shared.runtime.telemetry import current_traceparent

WAKE_UP = "delivery"
"""What a session that wrote deliveries wakes when it commits: the worker has something to send."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """The event behind a delivery: its id keeps deliveries unique, its JSON may be the body."""

    event_id: UUID
    event_type: str
    content: dict[str, Any]


def message(envelope: Envelope) -> Message:
    content = {name: value for name, value in envelope.model_dump(mode="json").items() if value is not None}
    return Message(event_id=envelope.id, event_type=envelope.type, content=content)


async def fan_out(
    session: AsyncSession, touched: Sequence[Touched], about: Message, now: datetime, public_url: str
) -> None:
    """Write the deliveries of one event. An event is sent to an endpoint once as itself."""
    written: set[UUID] = set()
    for each in touched:
        for endpoint in await queries.listening_endpoints(session, each.alert.org_id):
            sent_as_itself = endpoint.template is Template.cloudevents and endpoint.id in written
            if sent_as_itself or not await _wants(session, endpoint, each, about.event_type):
                continue
            session.add(_delivery(endpoint, each, about, now, public_url))
            written.add(endpoint.id)
    await session.flush()
    wake_after_commit(session, WAKE_UP)


async def pass_on(session: AsyncSession, org_id: UUID, about: Message, now: datetime) -> None:
    """Write the deliveries of an event that is evidence and no alert: to systems that take events as they are."""
    for endpoint in await queries.listening_endpoints(session, org_id):
        chosen = not endpoint.event_types or about.event_type in endpoint.event_types
        if chosen and endpoint.template is Template.cloudevents:
            session.add(_row(endpoint, about, about.content, now))
    await session.flush()
    wake_after_commit(session, WAKE_UP)


async def _wants(session: AsyncSession, endpoint: Endpoint, touched: Touched, event_type: str) -> bool:
    if endpoint.event_types and event_type not in endpoint.event_types:
        return False
    if touched.alert.priority.rank > endpoint.least_priority.rank:
        return False
    is_new = touched.change is Change.opened
    told_before = not is_new and await queries.has_heard_of(session, endpoint.id, touched.alert.id)
    return passes_on(endpoint.template, touched.change, told_before=told_before)


def _delivery(
    endpoint: Endpoint, touched: Touched, about: Message, now: datetime, public_url: str
) -> Delivery:
    ticket = ticket_of(touched, about.content, public_url)
    row = new_delivery(endpoint, about, ticket, now)
    row.alert_id, row.change = touched.alert.id, touched.change
    return row


def new_delivery(endpoint: Endpoint, about: Message, ticket: Ticket, now: datetime) -> Delivery:
    """A delivery due now, its body rendered for good: every attempt sends the same bytes."""
    content = body(endpoint.template, ticket, options_of(endpoint.template_options))
    return _row(endpoint, about, content, now)


def _row(endpoint: Endpoint, about: Message, content: Mapping[str, object], now: datetime) -> Delivery:
    return Delivery(
        version=1,
        created_at=now,
        updated_at=now,
        org_id=endpoint.org_id,
        endpoint_id=endpoint.id,
        event_id=about.event_id,
        event_type=about.event_type,
        content_type=CONTENT_TYPES[endpoint.template],
        body=json.dumps(content, ensure_ascii=False, separators=(",", ":")),
        is_test=False,
        state=DeliveryState.pending,
        attempt=0,
        round_start=0,
        next_attempt_at=now,
        traceparent=current_traceparent(),
    )
