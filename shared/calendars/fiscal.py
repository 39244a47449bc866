"""Federal fiscal periods: months, quarters, years, and their edges.

The fiscal year runs from 1 October and is named by the year in which it ends (31 USC 1102).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from shared.calendars.zones import ONE_DAY, local_midnight, zone_named

_FIRST_MONTH = 10


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


def _add_months(first_of_month: date, months: int) -> date:
    years, month = divmod(first_of_month.month - 1 + months, 12)
    return date(first_of_month.year + years, month + 1, 1)
