"""What a body is made of: the ticket of an alert, and the options its endpoint chose."""

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from services.notifier.alerts.domain import AlertState, Change, Priority
from services.notifier.alerts.models import Alert
from services.notifier.alerts.service import Touched
from services.notifier.channels.webhook.domain.templates import (
    TemplateOptions,
    Ticket,
)
from shared.contracts.base import TYPE_PREFIX

TEST_EVENT = TYPE_PREFIX + "notifier.test.v1"


def ticket_of(touched: Touched, event: dict[str, Any], public_url: str) -> Ticket:
    alert = touched.alert
    return Ticket(
        alert_id=alert.id,
        rule=alert.rule,
        title=alert.title,
        priority=alert.priority,
        state=alert.state,
        opened_at=alert.created_at,
        change=touched.change,
        event=event,
        link=alert_link(alert, public_url),
    )


def alert_link(alert: Alert, public_url: str) -> str:
    return f"{public_url.rstrip('/')}/notifier/v1/alerts/{alert.id}" if public_url else ""


def sample_ticket(now: datetime, public_url: str) -> Ticket:
    """An alert that stands for none, for tests and previews."""
    content = {"specversion": "1.0", "type": TEST_EVENT, "data": {"title": "Sample"}}
    return Ticket(
        alert_id=UUID(int=0),
        rule="sample",
        title="Sample alert: please ignore",
        priority=Priority.normal,
        state=AlertState.open,
        opened_at=now,
        change=Change.opened,
        event=content,
        link=public_url,
    )


def stored_options(options: TemplateOptions) -> dict[str, Any]:
    return asdict(options) | {
        "labels": list(options.labels),
        "priorities": {priority.value: name for priority, name in options.priorities.items()},
    }


def options_of(stored: dict[str, Any]) -> TemplateOptions:
    """The options as they were checked when they were stored."""
    priorities = {Priority(priority): name for priority, name in stored["priorities"].items()}
    return TemplateOptions(**stored | {"labels": tuple(stored["labels"]), "priorities": priorities})
