"""A calendar's rules turned into open intervals of UTC, a local year at a time.

An instant is open when a wall clock in the calendar's zone then shows an open hour of a business
day. So an hour that clocks skip is never open, and one that comes twice is open both times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from shared.calendars.business_days import closes_at_midnight, is_business_day
from shared.calendars.zones import ONE_DAY
from shared.contracts.governance import CalendarRules, OpenHours

_SECOND = timedelta(seconds=1)

Interval = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class OpenYear:
    """When each business day closes, and the open intervals, which may overlap as the rules do."""

    closes: dict[date, datetime]
    intervals: list[Interval]


def open_year(rules: CalendarRules, zone: ZoneInfo, year: int) -> OpenYear:
    """The open time of one year; a business day whose hours all fall into a clock change is left out."""
    stretches = _constant_offsets(zone, year)
    closes: dict[date, datetime] = {}
    intervals: list[Interval] = []
    for number in range(date(year, 1, 1).toordinal(), date(year, 12, 31).toordinal() + 1):
        day = date.fromordinal(number)
        if is_business_day(rules, day):
            of_day = [part for row in rules.hours for part in _open_parts(row, day, stretches)]
            if of_day:
                closes[day] = max(part[1] for part in of_day)
            intervals += of_day
    return OpenYear(closes, intervals)


def _open_parts(row: OpenHours, day: date, stretches: list[tuple[Interval, timedelta]]) -> Iterator[Interval]:
    """The instants at which a wall clock shows these hours on that day."""
    if row.weekday != day.weekday():
        return
    opens = datetime.combine(day, row.opens, tzinfo=UTC)
    last_day = day + ONE_DAY if closes_at_midnight(row) else day
    closes = datetime.combine(last_day, row.closes, tzinfo=UTC)
    for (first, last), offset in stretches:
        start, end = max(first, opens - offset), min(last, closes - offset)
        if start < end:
            yield start, end


def _constant_offsets(zone: ZoneInfo, year: int) -> list[tuple[Interval, timedelta]]:
    """The stretches, with their UTC offset, into which clock changes cut a local year."""
    first = datetime(year, 1, 1, tzinfo=UTC) - 2 * ONE_DAY
    days = [first + number * ONE_DAY for number in range(371)]
    changes = [_change(zone, a, b) for a, b in pairwise(days) if _offset(zone, a) != _offset(zone, b)]
    return [((a, b), _offset(zone, a)) for a, b in pairwise([days[0], *changes, days[-1]])]


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first second with the offset of `after`."""
    old = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
