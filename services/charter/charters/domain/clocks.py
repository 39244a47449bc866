"""Rules for everything the charter counts in open time: each clock must end while somebody can still wait for it.

A slip in a calendar's hours (open one minute a week) would otherwise show only when an item's clock cannot be set.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from shared.calendars.business_days import closes_at_midnight
from shared.calendars.zones import ONE_DAY
from shared.contracts.governance import CalendarRules, ClockUnit, ExecutableCharter, OpenHours
from shared.pure.refusal import Finding, pointer

MOST_WEEKS = 20 * 52
"""The longest a clock may run by the calendar's weekly hours. With every holiday and a thousand closures on top, a
clock that starts in this century still ends in the years that calendars cover."""
_HOUR = timedelta(hours=1)
_ANY_DAY = date(2000, 1, 1)


def clock_findings(content: ExecutableCharter) -> Iterator[Finding]:
    """Findings about rungs on their body's calendar, and about counts of business days on any calendar."""
    calendars = {calendar.key: calendar for calendar in content.calendars}
    of_body = {body.key: calendars.get(body.calendar) for body in content.bodies}
    for index, rung in enumerate(content.ladder):
        calendar = of_body.get(rung.body)
        if calendar is not None and rung.limit is not None:
            yield from _too_long(calendar, rung.limit, rung.unit, pointer("ladder", index, "limit"))
    for at, days in _day_counts(content):
        for calendar in content.calendars:
            yield from _too_long(calendar, days, ClockUnit.business_days, at)


def _day_counts(content: ExecutableCharter) -> Iterator[tuple[str, int]]:
    """Counts of business days that do not name a calendar; whichever the SLA or body has will count them."""
    yield "/emergency_review_business_days", content.emergency_review_business_days
    for index, pause in enumerate(content.pauses):
        yield pointer("pauses", index, "max_business_days"), pause.max_business_days
    for index, duty in enumerate(content.reporting):
        for field in ("due_business_day", "acknowledge_within_business_days"):
            yield pointer("reporting", index, field), getattr(duty, field)


def _too_long(calendar: CalendarRules, limit: int, unit: ClockUnit, at: str) -> Iterator[Finding]:
    weeks = _weeks(calendar, limit, unit)
    if weeks is not None and weeks > MOST_WEEKS:
        message = (
            f"With the hours of calendar {calendar.key!r}, {limit} {unit.replace('_', ' ')} take {int(weeks) // 52}"
            f" years; the most is {MOST_WEEKS // 52}. Give a smaller number, or the calendar longer hours."
        )
        yield Finding("clock_too_long", message, at)


def _weeks(calendar: CalendarRules, limit: int, unit: ClockUnit) -> Fraction | None:
    """How many weeks the limit takes without holidays; None for hours that have findings of their own."""
    open_time = sum((_duration(row) for row in calendar.hours), timedelta())
    if open_time <= timedelta():
        return None
    if unit is ClockUnit.business_days:
        return Fraction(limit, len({row.weekday for row in calendar.hours}))
    microsecond = timedelta(microseconds=1)
    return Fraction(limit * (_HOUR // microsecond), open_time // microsecond)


def _duration(row: OpenHours) -> timedelta:
    closing_day = _ANY_DAY + ONE_DAY if closes_at_midnight(row) else _ANY_DAY
    return datetime.combine(closing_day, row.closes, UTC) - datetime.combine(_ANY_DAY, row.opens, UTC)
