"""Ratified charters take effect on their day."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.charters import queries
from services.charter.charters.service.ratification import activate
from shared.runtime.timers import Timer
from shared.web.authz import SYSTEM


async def activate_due(session: AsyncSession, now: datetime) -> int:
    """Bring ratified charters into force whose effective date has begun."""
    charters = await queries.charters_to_activate(session, now)
    for charter in charters:
        await activate(session, SYSTEM, charter, now)
    return len(charters)


TIMERS = (Timer("charter_activation", every=timedelta(seconds=30), run=activate_due),)
