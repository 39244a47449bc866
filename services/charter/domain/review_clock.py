"""When the clock of a yearly review has something to say next."""

from datetime import date

from shared.domain.fiscal import ONE_DAY
from shared.domain.reviews import due_soon_on


def wakes_on(due: date, today: date) -> date | None:
    """The next day after `today` with a reminder, or the day it is overdue; None when that has passed."""
    days = (*due_soon_on(due).values(), due + ONE_DAY)
    return next((day for day in days if day > today), None)
