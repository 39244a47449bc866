"""Due-date work: ratified charters take effect on their day, reviews come due."""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from services.charter import queries
from services.charter.service.ratification import activate
from services.charter.service.reviews import raise_due
from shared.runtime.timers import Timer
from shared.web.authz import SYSTEM


async def activate_due(session: AsyncSession, now: datetime) -> int:
    """Bring ratified charters into force whose effective date has begun."""
    charters = await queries.charters_to_activate(session, now)
    for charter in charters:
        await activate(session, SYSTEM, charter, now)
    return len(charters)


TIMERS = (
    Timer("charter_activation", every=timedelta(seconds=30), run=activate_due),
    Timer("charter_review_clock", every=timedelta(seconds=30), run=raise_due),
)
