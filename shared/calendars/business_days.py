"""Which days are business days: those with weekly hours, without a federal holiday or a recorded closure."""

from datetime import date, time

from shared.calendars.holidays import holiday_name
from shared.calendars.zones import zone_named
from shared.contracts.governance import CalendarRules, OpenHours
from shared.pure.refusal import Refused

_SATURDAY = 5
_MIDNIGHT = time(0)


FEDERAL_ET = CalendarRules(
    key="federal",
    zone="America/New_York",
    hours=tuple(OpenHours(weekday=weekday, opens=time(8), closes=time(17)) for weekday in range(5)),
)


def is_business_day(rules: CalendarRules, day: date) -> bool:
    """Whether the day's weekday has open hours and neither a holiday nor a closure takes them away."""
    return closing_reason(rules, day) is None


def closing_reason(rules: CalendarRules, day: date) -> str | None:
    """Why the whole day is closed (`weekend`, `holiday: Labor Day`, `closure: snow`), or None."""
    if all(row.weekday != day.weekday() for row in rules.hours):
        return "weekend" if day.weekday() >= _SATURDAY else "no open hours"
    if rules.federal_holidays and (name := holiday_name(day)):
        return f"holiday: {name}"
    return next((f"closure: {closure.reason}" for closure in rules.closures if closure.day == day), None)


def check_rules(rules: CalendarRules) -> None:
    """Refuse rules that no clock can run on.

    Codes: `unknown_zone`, `invalid_open_hours`, `calendar_never_opens`.
    """
    zone_named(rules.zone)
    if not rules.hours:
        raise Refused("calendar_never_opens", "Give the calendar at least one row of open hours.", "/hours")
    for index, row in enumerate(rules.hours):
        _check_hours(row, f"/hours/{index}")


def closes_at_midnight(row: OpenHours) -> bool:
    """A closing time of 00:00 means the end of the same day, which a time of day cannot say."""
    return row.closes == _MIDNIGHT


def _check_hours(row: OpenHours, pointer: str) -> None:
    if row.weekday not in range(7):
        raise Refused("invalid_open_hours", "Weekdays run from 0 (Monday) to 6 (Sunday).", pointer)
    if row.opens >= row.closes and not closes_at_midnight(row):
        message = "Hours close after they open, on the same day; write a night as two rows around 00:00."
        raise Refused("invalid_open_hours", message, pointer)
