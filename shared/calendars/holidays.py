"""Federal holidays by rule (5 USC 6103), and the days on which they are observed."""

from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import MAXYEAR, date, timedelta
from functools import lru_cache
from types import MappingProxyType

_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6
_IN_LIEU = {_SATURDAY: timedelta(days=-1), _SUNDAY: timedelta(days=1)}


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


def nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th such weekday (0 = Monday) of a month; -1 is the last one.

    `ValueError` when the month has no such day, as in the fifth Monday of most months.
    """
    first = date(year, month, 1)
    if n < 0:
        last = first.replace(day=monthrange(year, month)[1])
        day = last - timedelta(days=(last.weekday() - weekday) % 7 - 7 * (n + 1))
    else:
        day = first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
    if day.month != month or n == 0:
        raise ValueError(f"{year}-{month:02d} has no weekday {weekday} number {n}")
    return day


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
