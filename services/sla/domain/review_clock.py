"""When the clock of a yearly review (M3 R5) has something to say next."""

from datetime import date, datetime

from shared.domain.fiscal import ONE_DAY, local_midnight, zone_named
from shared.domain.reviews import due_soon_on


def wakes_at(due: date, today: date, zone: str) -> datetime | None:
    """When the next day with a reminder begins, or the day it is overdue; None when that has passed."""
    days = (*due_soon_on(due).values(), due + ONE_DAY)
    wakes = next((day for day in days if day > today), None)
    return None if wakes is None else local_midnight(wakes, zone_named(zone))
