"""The windows metrics are computed over, and how they fit into a report's period."""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.sla.metrics.domain.metric import Metric
from shared.calendars.business_time import BusinessCalendar
from shared.calendars.fiscal import (
    Period,
    bounds,
    fiscal_year_of,
    month_of,
    period_of,
    quarter_of,
)
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

    def __contains__(self, moment: datetime | None) -> bool:
        return moment is not None and self.start <= moment < self.end


@dataclass(frozen=True)
class Setting:
    """What an aggregation needs beside the observations; `now` cuts off a window still running."""

    window: Window
    calendar: BusinessCalendar
    now: datetime

    @property
    def until(self) -> datetime:
        return min(self.window.end, max(self.window.start, self.now))


def parse_period(label: str) -> Period:
    """The period named `2026-10`, `FY27 Q1` or `FY27`; refuses `invalid_period`."""
    found = _LABEL.fullmatch(label)
    if found and found["fiscal"]:
        return _fiscal(_CENTURY + int(found["fiscal"]), found["quarter"])
    if found and 1 <= int(found["month"]) <= 12 and 1990 <= int(found["year"]) < 2149:
        return month_of(date(int(found["year"]), int(found["month"]), 1))
    raise Refused("invalid_period", f"{label!r} is no period; write 2026-10, FY27 Q1 or FY27.", "/period")


def window_in(metric: Metric, period: Period) -> Window | None:
    """The metric's window that a report on `period` shows: the one that ends with the period.

    So a quarterly metric appears in the last monthly report of the quarter, and None in the others;
    a window shorter than the period shows its last one.
    """
    own = period_of(metric.window, period.last_day)
    if own.end_date_exclusive != period.end_date_exclusive:
        return None
    return Window(own.label, *bounds(own, metric.zone))


def _fiscal(year: int, quarter: str | None) -> Period:
    first = date(year - 1, 10, 1)
    if quarter is None:
        return fiscal_year_of(first)
    return quarter_of(first + timedelta(days=92 * (int(quarter) - 1)))
