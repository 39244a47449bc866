"""The windows metrics are computed over, and how they fit into a report's period."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.calendars.business_time import BusinessCalendar
from shared.calendars.fiscal import (
    Period,
    PeriodKind,
    bounds,
    fiscal_year_of,
    month_of,
    period_of,
    quarter_of,
)
from shared.calendars.zones import ONE_DAY, local_midnight, zone_named
from shared.pure.refusal import Refused

_LABEL = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d{2})|FY(?P<fiscal>\d{2})(?: Q(?P<quarter>[1-4]))?", re.ASCII
)
_CENTURY = 2000


@dataclass(frozen=True)
class Window:
    """The stretch a metric is computed over, `end` excluded; `label` is the period's."""

    label: str
    start: datetime
    end: datetime

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Setting:
    """What an aggregation needs beside the observations; `now` cuts off a window still running.

    `zone` is the metric's: its local days are those of the window.
    """

    window: Window
    calendar: BusinessCalendar
    now: datetime
    zone: str

    @property
    def until(self) -> datetime:
        return min(self.window.end, max(self.window.start, self.now))

    @property
    def is_running(self) -> bool:
        return self.now < self.window.end

    def covers(self, moment: datetime | None) -> bool:
        """Whether the moment lies in the window and has come."""
        return moment is not None and moment in self.window and moment <= self.now


def parse_period(label: str) -> Period:
    """The period named `2026-10`, `FY27 Q1` or `FY27`; refuses `invalid_period`."""
    match = _LABEL.fullmatch(label)
    if match and match["fiscal"]:
        return _fiscal(_CENTURY + int(match["fiscal"]), match["quarter"])
    if match and 1 <= int(match["month"]) <= 12 and 1990 <= int(match["year"]) < 2149:
        return month_of(date(int(match["year"]), int(match["month"]), 1))
    raise Refused("invalid_period", f"{label!r} is no period; write 2026-10, FY27 Q1 or FY27.", "/period")


def window_in(kind: PeriodKind, zone: str, period: Period, first: date, last: date) -> Window | None:
    """The window of that kind that a report on `period` shows: the one that ends in it; None where none does.

    A quarterly metric appears in the last monthly report of the quarter; a window shorter than the period shows its
    last one. Nothing is measured before the `first` day of the SLA or after its `last`: the windows at either end
    are cut there.
    """
    own = period_of(kind, min(period.last_day, last))
    if min(own.last_day, last) not in period or own.end_date_exclusive <= first:
        return None
    place = zone_named(zone)
    start, end = bounds(own, zone)
    return Window(
        own.label,
        max(start, local_midnight(first, place)),
        min(end, local_midnight(last + ONE_DAY, place)),
    )


def _fiscal(year: int, quarter: str | None) -> Period:
    first = date(year - 1, 10, 1)
    if quarter is None:
        return fiscal_year_of(first)
    return quarter_of(first + timedelta(days=92 * (int(quarter) - 1)))
