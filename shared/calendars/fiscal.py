"""Federal fiscal periods and the date arithmetic that periods and calendars share.

The fiscal year runs from 1 October and is named by the year in which it ends (31 USC 1102).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from shared.pure.refusal import Refused

ONE_DAY = timedelta(days=1)
_FIRST_MONTH = 10
_OF_THE_HOST = frozenset({"localtime", "posixrules"})


class PeriodKind(StrEnum):
    """The lengths of time over which results are reported."""

    month = "month"
    quarter = "quarter"
    fiscal_year = "fiscal_year"


@dataclass(frozen=True, slots=True)
class Period:
    """Whole local days from `start_date` up to, not including, `end_date_exclusive`.

    Labels read `2026-10`, `FY27 Q1` and `FY27`.
    """

    kind: PeriodKind
    start_date: date
    end_date_exclusive: date
    label: str

    @property
    def last_day(self) -> date:
        """The day due rules such as "10th business day after the period ends" count from."""
        return self.end_date_exclusive - ONE_DAY

    def __contains__(self, day: date) -> bool:
        return self.start_date <= day < self.end_date_exclusive


class FiscalPeriod(NamedTuple):
    """A day's place in the fiscal year; `month` is the accounting period, October being 1."""

    year: int
    quarter: int
    month: int


def fiscal_period(day: date) -> FiscalPeriod:
    """2026-11-22 lies in fiscal year 2027, quarter 1, accounting period 2."""
    month = (day.month - _FIRST_MONTH) % 12 + 1
    year = day.year + 1 if day.month >= _FIRST_MONTH else day.year
    return FiscalPeriod(year, (month - 1) // 3 + 1, month)


def fiscal_year(day: date) -> int:
    """The year in which the day's fiscal year ends."""
    return fiscal_period(day).year


def fiscal_quarter(day: date) -> int:
    """1 for October to December, 4 for July to September."""
    return fiscal_period(day).quarter


def fy_label(year: int) -> str:
    """`FY27` for 2027."""
    return f"FY{year % 100:02d}"


def month_of(day: date) -> Period:
    """The calendar month that holds the day."""
    first = day.replace(day=1)
    return Period(PeriodKind.month, first, _add_months(first, 1), f"{first:%Y-%m}")


def quarter_of(day: date) -> Period:
    """The fiscal quarter that holds the day; its edges are those of a calendar quarter."""
    first = date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
    label = f"{fy_label(fiscal_year(day))} Q{fiscal_quarter(day)}"
    return Period(PeriodKind.quarter, first, _add_months(first, 3), label)


def fiscal_year_of(day: date) -> Period:
    """The federal fiscal year that holds the day."""
    year = fiscal_year(day)
    first = date(year - 1, _FIRST_MONTH, 1)
    return Period(PeriodKind.fiscal_year, first, _add_months(first, 12), fy_label(year))


_PERIOD_OF: dict[PeriodKind, Callable[[date], Period]] = {
    PeriodKind.month: month_of,
    PeriodKind.quarter: quarter_of,
    PeriodKind.fiscal_year: fiscal_year_of,
}


def period_of(kind: PeriodKind, day: date) -> Period:
    """The period of that kind that holds the day."""
    return _PERIOD_OF[kind](day)


def next_period(period: Period) -> Period:
    """The period of the same kind that follows without a gap."""
    return period_of(period.kind, period.end_date_exclusive)


def previous_period(period: Period) -> Period:
    """The period of the same kind that ends where this one starts."""
    return period_of(period.kind, period.start_date - ONE_DAY)


def bounds(period: Period, zone: str) -> tuple[datetime, datetime]:
    """The period's first instant and the instant after its last, in UTC.

    Both are local midnights, so a month in which clocks change is an hour short or long.
    """
    place = zone_named(zone)
    return local_midnight(period.start_date, place), local_midnight(period.end_date_exclusive, place)


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which a local day begins.

    Where clocks skip midnight the day begins at the jump; where midnight comes twice, at the first.
    """
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def day_in(zone: str, moment: datetime) -> date:
    """The date a clock in that zone shows."""
    return moment.astimezone(zone_named(zone)).date()


def zone_named(name: str) -> ZoneInfo:
    """The IANA time zone of that name; refuses `unknown_zone`, and what only this host calls a zone."""
    try:
        if name in _OF_THE_HOST:
            raise KeyError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        message = f"{name!r} is not a known IANA time zone; give one such as America/New_York."
        raise Refused("unknown_zone", message, "/zone") from None


def nth_weekday(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th such weekday (0 = Monday) of a month; -1 is the last one.

    `ValueError` when the month has no such day, as in the fifth Monday of most months.
    """
    first = date(year, month, 1)
    if n < 0:
        last = _add_months(first, 1) - ONE_DAY
        day = last - timedelta(days=(last.weekday() - weekday) % 7 - 7 * (n + 1))
    else:
        day = first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
    if day.month != month or n == 0:
        raise ValueError(f"{year}-{month:02d} has no weekday {weekday} number {n}")
    return day


def add_years(day: date, years: int) -> date:
    """The same day in another year; 29 February becomes 28 February where there is none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _add_months(first_of_month: date, months: int) -> date:
    years, month = divmod(first_of_month.month - 1 + months, 12)
    return date(first_of_month.year + years, month + 1, 1)
