"""What members do with alerts is passed on to the systems that were sent them.

The notifier receives its own events for that, so that whoever acknowledges an alert neither waits for deliveries to be
written nor fails with them.
"""

from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.domain import Change, Resolution
from services.notifier.alerts.models import Alert
from services.notifier.alerts.service import Touched
from services.notifier.deliveries.service.fanout import fan_out, message
from shared.contracts.base import Received
from shared.contracts.notifier import AlertAcknowledged, AlertResolved, AlertSnoozed, AlertWoken
from shared.messaging.projections import Projection


async def pass_on(session: AsyncSession, received: Received[Any], now: datetime, change: Change) -> None:
    """Write the deliveries of one change that no event of another service caused."""
    alert = await session.get_one(Alert, received.event.alert_id)
    await fan_out(session, [Touched(alert=alert, change=change)], message(received.envelope), now)


async def pass_on_resolution(session: AsyncSession, received: Received[AlertResolved], now: datetime) -> None:
    """Unless the cause went away, which was passed on with its own event."""
    if received.event.resolution != Resolution.cause_cleared:
        await pass_on(session, received, now, Change.resolved)


ALERT_CHANGES = Projection(
    "alert_changes",
    {
        AlertAcknowledged: partial(pass_on, change=Change.acknowledged),
        AlertSnoozed: partial(pass_on, change=Change.snoozed),
        AlertWoken: partial(pass_on, change=Change.reopened),
        AlertResolved: pass_on_resolution,
    },
)
