"""What members do with alerts is passed on to the systems that were told of them."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.domain import Change, Resolution
from services.notifier.alerts.models import Alert
from services.notifier.alerts.service import Touched
from services.notifier.deliveries.service.fanout import fan_out, message
from shared.contracts.base import Event, Received
from shared.contracts.notifier import AlertAcknowledged, AlertResolved


async def pass_on_acknowledgement(
    session: AsyncSession, received: Received[AlertAcknowledged], now: datetime
) -> None:
    """Tell the ticketing systems that somebody took the alert up."""
    alert = await session.get_one(Alert, received.event.alert_id)
    touched = Touched(alert=alert, change=Change.acknowledged)
    await fan_out(session, [touched], message(received.envelope), now)


async def pass_on_resolution(session: AsyncSession, received: Received[AlertResolved], now: datetime) -> None:
    """Tell them that a member resolved it; a cause that went away was told with its own event."""
    if received.event.resolution != Resolution.member:
        return
    alert = await session.get_one(Alert, received.event.alert_id)
    touched = Touched(alert=alert, change=Change.resolved)
    await fan_out(session, [touched], message(received.envelope), now)


HANDLERS: Mapping[type[Event], Callable[..., Awaitable[None]]] = {
    AlertAcknowledged: pass_on_acknowledgement,
    AlertResolved: pass_on_resolution,
}
