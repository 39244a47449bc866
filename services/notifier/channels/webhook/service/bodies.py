"""What a body is made of: the ticket of an alert, and the options its endpoint chose."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notifier.alerts.domain import AlertState, Change, Priority
from services.notifier.alerts.service import Touched
from services.notifier.channels.webhook.domain.templates import (
    Ticket,
)
from shared.contracts.base import TYPE_PREFIX, rfc3339

TEST_EVENT = TYPE_PREFIX + "notifier.test.v1"
ALERT_ID = "alertid"
"""The CloudEvents extension that names the alert an event opened or changed."""


def ticket_of(touched: Touched, event: Mapping[str, Any]) -> Ticket:
    """The ticket of an alert; its event names the alert, so that a desk can acknowledge it."""
    alert = touched.alert
    return Ticket(
        alert_id=alert.id,
        rule=alert.rule,
        title=alert.title,
        priority=alert.priority,
        state=alert.state,
        opened_at=alert.created_at,
        change=touched.change,
        event={**event, ALERT_ID: str(alert.id)},
    )


def sample_ticket(event: Mapping[str, Any], now: datetime) -> Ticket:
    """An alert that stands for none, for tests and previews."""
    return Ticket(
        alert_id=UUID(int=0),
        rule="sample",
        title="Sample alert: please ignore",
        priority=Priority.normal,
        state=AlertState.open,
        opened_at=now,
        change=Change.opened,
        event=event,
    )


def sample_event(event_id: UUID, subject: str, now: datetime, **data: object) -> dict[str, Any]:
    """A CloudEvent that tells of nothing, for tests and previews."""
    return {
        "specversion": "1.0",
        "id": str(event_id),
        "source": "/services/notifier",
        "type": TEST_EVENT,
        "subject": subject,
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": data,
    }
