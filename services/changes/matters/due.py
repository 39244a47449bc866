"""The clocks of the bodies: a warning at three quarters, elevation at the end."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters import queries
from services.changes.matters.service.escalating import elevate_expired, warn
from shared.runtime.timers import Timer


async def warn_due(session: AsyncSession, now: datetime) -> int:
    rows = await queries.clocks_to_warn_of(session, now)
    for row in rows:
        await warn(session, row, now)
    return len(rows)


async def elevate_due(session: AsyncSession, now: datetime) -> int:
    rows = await queries.expired_clocks(session, now)
    for row in rows:
        await elevate_expired(session, row, now)
    return len(rows)


TIMERS = (
    Timer("clock_warning", every=timedelta(seconds=5), run=warn_due),
    Timer("clock_elevation", every=timedelta(seconds=5), run=elevate_due),
)
