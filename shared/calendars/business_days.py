"""Which days are business days: federal holidays by rule (5 USC 6103), weekly hours, recorded closures."""

from collections.abc import Callable, Iterator, Mapping
from datetime import MAXYEAR, date, time, timedelta
from functools import lru_cache
from types import MappingProxyType

from shared.calendars.fiscal import nth_weekday, zone_named
from shared.contracts.governance import CalendarRules, OpenHours
from shared.pure.refusal import Refused

_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
_IN_LIEU = {_SATURDAY: timedelta(days=-1), _SUNDAY: timedelta(days=1)}
_MIDNIGHT = time(0)


def _fixed(month: int, day: int) -> Callable[[int], date]:
    return lambda year: date(year, month, day)


def _nth(n: int, weekday: int, month: int) -> Callable[[int], date]:
    return lambda year: nth_weekday(year, month, weekday, n)


_HOLIDAYS: tuple[tuple[str, int, Callable[[int], date]], ...] = (
    # name, first year, rule
    ("New Year's Day", 1971, _fixed(1, 1)),
    ("Birthday of Martin Luther King, Jr.", 1986, _nth(3, _MONDAY, 1)),
    ("Washington's Birthday", 1971, _nth(3, _MONDAY, 2)),
    ("Memorial Day", 1971, _nth(-1, _MONDAY, 5)),
    ("Juneteenth National Independence Day", 2021, _fixed(6, 19)),
    ("Independence Day", 1971, _fixed(7, 4)),
    ("Labor Day", 1971, _nth(1, _MONDAY, 9)),
    ("Columbus Day", 1971, _nth(2, _MONDAY, 10)),
    ("Veterans Day", 1978, _fixed(11, 11)),
    ("Thanksgiving Day", 1971, _nth(4, _THURSDAY, 11)),
    ("Christmas Day", 1971, _fixed(12, 25)),
)

FEDERAL_ET = CalendarRules(
    key="federal",
    zone="America/New_York",
    hours=tuple(OpenHours(weekday=weekday, opens=time(8), closes=time(17)) for weekday in range(5)),
)


def federal_holidays(year: int, *, inauguration_day: bool = False) -> dict[date, str]:
    """Observed days that fall in the calendar year, in date order, with the statute's names.

    A Saturday holiday is observed on Friday, a Sunday one on Monday (5 USC 6103(b), EO 11582), so
    2027 holds New Year's Day twice. Inauguration Day (6103(c)) is a holiday in the Washington, DC,
    area only and has no day in lieu when it is a Saturday. The rules are those in force since 1971.
    """
    return dict(_observed_in(year, inauguration_day))


def holiday_name(day: date, *, inauguration_day: bool = False) -> str | None:
    """The federal holiday observed on that day, or None."""
    return _observed_in(day.year, inauguration_day).get(day)


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


@lru_cache(maxsize=512)
def _observed_in(year: int, inauguration_day: bool) -> Mapping[date, str]:
    observed = dict(_shifted(year))
    if inauguration_day and year % 4 == 1:
        # Where both fall together the day keeps the name every agency uses.
        observed.setdefault(_inauguration_day(year), "Inauguration Day")
    return MappingProxyType(dict(sorted(observed.items())))


def _shifted(year: int) -> Iterator[tuple[date, str]]:
    """Holidays of this year and of next 1 January, where they are observed within this year."""
    for holiday_year in {year, min(year + 1, MAXYEAR)}:
        for name, first_year, rule in _HOLIDAYS:
            if holiday_year >= first_year:
                actual = rule(holiday_year)
                day = actual + _IN_LIEU.get(actual.weekday(), timedelta())
                if day.year == year:
                    yield day, name


def _inauguration_day(year: int) -> date:
    actual = date(year, 1, 20)
    return actual + timedelta(days=1) if actual.weekday() == _SUNDAY else actual
