"""Open time of a business calendar: how much of it ran, when so much will have run, and why.

All results are exact to the microsecond and in UTC; `open_hours` says what open means when clocks change.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import ceil
from typing import TypeVar

from shared.calendars.business_days import check_rules, closing_reason
from shared.calendars.open_hours import Interval, OpenYear, open_year
from shared.calendars.zones import ONE_DAY, zone_named
from shared.contracts.governance import CalendarRules, ClockUnit
from shared.pure.refusal import Refused

FIRST_YEAR, LAST_YEAR = 1990, 2149
_REACHES = (0, 4, 32, LAST_YEAR - FIRST_YEAR)
D = TypeVar("D", date, datetime)
_ZERO = timedelta()
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time and whether it counted: `open hours`, `closed hours`, `weekend`,
    `holiday: Labor Day`, `closure: snow`, `no open hours`."""

    start: datetime
    end: datetime
    counted: bool
    reason: str

    @property
    def duration(self) -> timedelta:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class _Openings:
    """Consecutive years; `before[i]` is the open time ahead of `starts[i]`, the last one the total."""

    first_year: int
    last_year: int
    days: list[date]
    starts: list[datetime]
    ends: list[datetime]
    before: list[timedelta]

    def open_until(self, moment: datetime) -> timedelta:
        index = bisect_right(self.starts, moment) - 1
        if index < 0:
            return _ZERO
        return self.before[index] + (min(moment, self.ends[index]) - self.starts[index])

    def reached_at(self, open_time: timedelta) -> datetime | None:
        """The first instant by which that much has run since the first year began."""
        index = bisect_left(self.before, open_time) - 1
        if index >= len(self.starts):
            return None
        return self.starts[index] + (open_time - self.before[index])

    def clipped(self, start: datetime, end: datetime) -> Iterator[Interval]:
        first = bisect_right(self.ends, start)
        last = bisect_left(self.starts, end)
        for index in range(first, last):
            yield max(start, self.starts[index]), min(end, self.ends[index])


class BusinessCalendar:
    """The clock of one version of a calendar. Make it with `business_calendar`, which shares it.

    Instants are given with a zone (`ValueError` otherwise) and lie in 1990 to 2149; a question
    outside refuses `outside_calendar`.
    """

    def __init__(self, rules: CalendarRules) -> None:
        check_rules(rules)
        self.rules = rules
        self._zone = zone_named(rules.zone)
        self._years: dict[int, OpenYear] = {}
        self._openings: _Openings | None = None

    def elapsed(self, start: datetime, end: datetime) -> timedelta:
        """Open time from `start` to `end`; zero when `end` is not after `start`."""
        start, end = _utc(start), _utc(end)
        if end <= start:
            return _ZERO
        openings = self._covering(start.year, end.year)
        return openings.open_until(end) - openings.open_until(start)

    def elapsed_excluding(self, start: datetime, end: datetime, pauses: Sequence[Interval]) -> timedelta:
        """Open time that no pause covers; pauses may overlap, and reach outside `start` to `end`."""
        start, end = _utc(start), _utc(end)
        clipped = ((max(start, _utc(first)), min(end, _utc(last))) for first, last in pauses)
        merged = _merged(interval for interval in clipped if interval[0] < interval[1])
        return self.elapsed(start, end) - sum((self.elapsed(*pause) for pause in merged), _ZERO)

    def add(self, start: datetime, open_time: timedelta) -> datetime:
        """The first instant by which `open_time` has run since `start`, the inverse of `elapsed`.

        Work that fills a day ends when the day closes, not when the next one opens.
        """
        start = _utc(start)
        if open_time < _ZERO:
            raise ValueError("open time runs forward only")
        if not open_time:
            return start
        for openings in self._reaching_out(start.year):
            reached = openings.reached_at(openings.open_until(start) + open_time)
            if reached is not None:
                return _within(reached)
        raise _outside()

    def next_open(self, moment: datetime) -> datetime:
        """The moment itself when open, else when the calendar next opens."""
        moment = _utc(moment)
        for openings in self._reaching_out(moment.year):
            index = bisect_right(openings.ends, moment)
            if index < len(openings.starts):
                return _within(max(moment, openings.starts[index]))
        raise _outside()

    def business_day_after(self, day: date, n: int) -> date:
        """The n-th business day after `day`, which itself never counts; `n` is at least 1."""
        if n < 1:
            raise ValueError(f"there is no business day number {n} after a day")
        for openings in self._reaching_out(day.year):
            index = bisect_right(openings.days, day) + n - 1
            if index < len(openings.days):
                return _within(openings.days[index])
        raise _outside()

    def business_days_between(self, a: date, b: date) -> int:
        """Business days after `a` up to and including `b`; zero when `b` is not after `a`."""
        if b <= a:
            return 0
        days = self._covering(a.year, b.year).days
        return bisect_right(days, b) - bisect_right(days, a)

    def end_of_business_day(self, day: date) -> datetime:
        """When the last open hours of the day close; refuses `not_a_business_day`."""
        self._covering(day.year, day.year)
        try:
            return self._years[day.year].closes[day]
        except KeyError:
            reason = closing_reason(self.rules, day) or "no open hours"
            raise Refused("not_a_business_day", f"{day} is not a business day ({reason}).") from None

    def deadline(self, start: datetime, limit: int, unit: ClockUnit) -> datetime:
        """`limit` open hours after `start`, or the end of the `limit`-th business day after its day."""
        if unit is ClockUnit.business_hours:
            return self.add(start, timedelta(hours=limit))
        started_on = _utc(start).astimezone(self._zone).date()
        return self.end_of_business_day(self.business_day_after(started_on, limit))

    def fraction_point(self, start: datetime, deadline: datetime, fraction: Fraction) -> datetime:
        """When that share (0 to 1) of the open time between the two has run, never a moment before."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"{fraction} is not a share between 0 and 1")
        microseconds = ceil(self.elapsed(start, deadline) // _MICROSECOND * fraction)
        return self.add(start, timedelta(microseconds=microseconds))

    def explain(self, start: datetime, end: datetime) -> list[Span]:
        """`start` to `end` without a gap, each stretch with its reason.

        The counted stretches add up to `elapsed(start, end)`.
        """
        start, end = _utc(start), _utc(end)
        if end <= start:
            return []
        spans: list[Span] = []
        cursor = start
        for opens, closes in self._covering(start.year, end.year).clipped(start, end):
            spans += self._closed(cursor, opens)
            spans.append(Span(opens, closes, True, "open hours"))
            cursor = closes
        return spans + self._closed(cursor, end)

    def _closed(self, start: datetime, end: datetime) -> list[Span]:
        """The closed stretch between two open ones, cut where the reason changes."""
        spans: list[Span] = []
        while start < end:
            day = start.astimezone(self._zone).date()
            until = min(end, self._day_ends(start, day))
            reason = closing_reason(self.rules, day) or "closed hours"
            if spans and spans[-1].reason == reason:
                start = spans.pop().start
            spans.append(Span(start, until, False, reason))
            start = until
        return spans

    def _day_ends(self, moment: datetime, day: date) -> datetime:
        # In St. John's clocks once went back at 00:01, so midnight came twice.
        midnight = datetime.combine(day + ONE_DAY, time.min, tzinfo=self._zone)
        ends = (midnight.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        return min(end for end in ends if end > moment)

    def _reaching_out(self, year: int) -> Iterator[_Openings]:
        for reach in _REACHES:
            yield self._covering(year, max(year, min(year + reach, LAST_YEAR)))

    def _covering(self, first: int, last: int) -> _Openings:
        """Openings of those UTC years and, as local years lie askew, one more on either side."""
        held = self._openings
        if held and held.first_year < first and last < held.last_year:
            return held
        if first < FIRST_YEAR or last > LAST_YEAR:
            raise _outside()
        years = (first - 1, last + 1)
        if held:
            years = (min(first - 1, held.first_year), max(last + 1, held.last_year))
        # One assignment of a finished value: threads may share a calendar.
        self._openings = openings = self._join(*years)
        return openings

    def _join(self, first: int, last: int) -> _Openings:
        for year in range(first, last + 1):
            if year not in self._years:
                self._years[year] = open_year(self.rules, self._zone, year)
        years = [self._years[year] for year in range(first, last + 1)]
        intervals = _merged(interval for year in years for interval in year.intervals)
        lengths = (closes - opens for opens, closes in intervals)
        return _Openings(
            first_year=first,
            last_year=last,
            days=[day for year in years for day in year.closes],
            starts=[opens for opens, _ in intervals],
            ends=[closes for _, closes in intervals],
            before=list(accumulate(lengths, initial=_ZERO)),
        )


@lru_cache(maxsize=256)
def business_calendar(rules: CalendarRules) -> BusinessCalendar:
    """The shared clock of these rules; equal rules give the same one."""
    return BusinessCalendar(rules)


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted, with those that overlap or touch joined."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError("an instant needs a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _outside() from None


def _within(answer: D) -> D:
    if answer.year > LAST_YEAR:
        raise _outside()
    return answer


def _outside() -> Refused:
    return Refused("outside_calendar", f"Calendars run from {FIRST_YEAR} to {LAST_YEAR}.")
