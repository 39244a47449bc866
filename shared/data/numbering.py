"""Numbers people use: `CR-FY27-0001`, counted per charter and federal fiscal year without gaps."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.calendars.fiscal import fiscal_year

_WASHINGTON = ZoneInfo("America/New_York")
_NEXT = text(
    """
    INSERT INTO number_series (charter_id, prefix, fiscal_year, last) VALUES (:charter, :prefix, :year, 1)
    ON CONFLICT (charter_id, prefix, fiscal_year) DO UPDATE SET last = number_series.last + 1
    RETURNING last
    """
)


def year_of(now: datetime) -> int:
    """The federal fiscal year of a moment, as Washington's calendar has it."""
    return fiscal_year(now.astimezone(_WASHINGTON).date())


async def next_number(session: AsyncSession, prefix: str, charter_id: UUID, now: datetime) -> str:
    """The next number of a series. The row lock holds until commit, so a rollback leaves no gap."""
    year = year_of(now)
    last = (
        await session.execute(_NEXT, {"charter": charter_id, "prefix": prefix, "year": year})
    ).scalar_one()
    return number_of(prefix, year, last)


def number_of(prefix: str, year: int, last: int) -> str:
    """How a number reads: `CR-FY27-0001`."""
    return f"{prefix}-FY{year % 100:02d}-{last:04d}"
