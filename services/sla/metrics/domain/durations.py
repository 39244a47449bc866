"""The share of items finished within their limit, on a clock that stands still in pauses."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import ClassVar, Literal

from services.sla.metrics.domain.measured import Fold, Measured, left_out, percent, raised
from services.sla.metrics.domain.terms import Aggregation, DurationClock, DurationUnit, ZeroVolume
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.observation import Interval, Observation, ObservationKind
from shared.calendars.business_time import BusinessCalendar
from shared.contracts.governance import ClockUnit

NOT_YET_DUE = "not_yet_due"
CLOCK_NOT_STARTED = "clock_not_started"
CLOCK_UNUSABLE = "clock_unusable"

_UNIT = {
    DurationUnit.minutes: timedelta(minutes=1),
    DurationUnit.hours: timedelta(hours=1),
    DurationUnit.days: timedelta(days=1),
}
_LONGEST = {DurationUnit.minutes: 366 * 1440, DurationUnit.hours: 366 * 24, DurationUnit.days: 366}
_USUAL_PRIORITY = "priority"


@dataclass(frozen=True, kw_only=True)
class PriorityLimit:
    """A limit for the items whose priority attribute has this value."""

    priority: str
    limit: int


@dataclass(frozen=True, kw_only=True)
class DurationRule:
    """The share of items finished within `limit` units of the clock; pauses do not run.

    `start` and `stop` are `occurred_at`, `ended_at` or an attribute that holds an RFC 3339 instant. Priorities not
    listed in `limits_by_priority` have `limit`.
    """

    aggregation: Literal[Aggregation.within_duration_ratio] = Aggregation.within_duration_ratio
    clock: DurationClock = DurationClock.elapsed
    unit: DurationUnit = DurationUnit.minutes
    limit: int
    priority_attribute: str = _USUAL_PRIORITY
    limits_by_priority: tuple[PriorityLimit, ...] = ()
    start: str = "occurred_at"
    stop: str = "ended_at"
    pauses_count: bool = False

    is_ratio: ClassVar[bool] = True
    counts_items: ClassVar[bool] = True
    is_scheduled: ClassVar[bool] = False
    knows_coverage: ClassVar[bool] = True
    usual_zero_volume: ClassVar[ZeroVolume] = ZeroVolume.not_applicable

    @property
    def reads_ended(self) -> bool:
        """An item may have ended before the window in which an attribute says that its clock stopped."""
        return self.stop != "ended_at"

    @property
    def method(self) -> str:
        others = [f"{row.limit} for priority {row.priority}" for row in self.limits_by_priority]
        within = "; ".join([f"{self.limit} {self.clock} {self.unit}", *others])
        return f"Share of items finished within {within}. Open overdue items count as failures."

    def fold(self, setting: Setting) -> Fold:
        return _Items(self, setting)

    def problems(self) -> Iterator[tuple[str, str]]:
        limits = [self.limit, *(row.limit for row in self.limits_by_priority)]
        priorities = [row.priority for row in self.limits_by_priority]
        if not 1 <= min(limits) <= max(limits) <= _LONGEST[self.unit]:
            yield "limit", "a limit is at least one unit and at most a year."
        if len(priorities) != len(set(priorities)):
            yield "limits_by_priority", "a priority has one limit."
        if not priorities and self.priority_attribute != _USUAL_PRIORITY:
            yield "priority_attribute", "an attribute with priorities needs limits_by_priority."
        if self.start == self.stop:
            yield "stop", "a clock starts and stops at different instants."

    def limit_for(self, attributes: dict[str, str]) -> int:
        """The limit, in units, of an item with these attributes."""
        priority = attributes.get(self.priority_attribute)
        return next((row.limit for row in self.limits_by_priority if row.priority == priority), self.limit)


class _Items:
    """Counts the items finished in the window, and those open and overdue at its end.

    An open overdue item fails again in every window until it is finished; one that is not yet due is left out, so that
    neither helps nor hurts. Nor is an item kept whose clock says nothing: `coverage` is the share whose clock does.
    """

    def __init__(self, rule: DurationRule, setting: Setting) -> None:
        self._rule = rule
        self._setting = setting
        self._kept = self._late = self._overdue = self._carried = 0
        self._waiting = self._not_started = self._unusable = 0

    def add(self, seen: Observation) -> None:
        if seen.kind is not ObservationKind.event:
            return
        start, stop = seen.instant(self._rule.start), seen.instant(self._rule.stop)
        if self._setting.covers(stop):
            self._finished(seen, start, stop)
        elif stop is None or stop >= self._setting.until:
            self._open(seen, start)

    def _finished(self, item: Observation, start: datetime | None, stop: datetime | None) -> None:
        if start is None or stop is None or stop < start:
            self._unusable += 1
        elif self._is_in_time(item, stop):
            self._kept += 1
        else:
            self._late += 1
            self._carried += self._was_overdue(item, start)

    def _open(self, item: Observation, start: datetime | None) -> None:
        if item.occurred_at is None or item.occurred_at >= self._setting.until:
            return
        if item.is_unreadable(self._rule.start) or item.is_unreadable(self._rule.stop):
            self._unusable += self._may_end_here(item)
        elif start is None or start >= self._setting.until:
            self._not_started += 1
        elif self._is_in_time(item, self._setting.until):
            self._waiting += 1
        else:
            self._overdue += 1
            self._carried += self._was_overdue(item, start)

    def measured(self) -> Measured:
        n = self._kept + self._late + self._overdue
        return Measured(
            value=percent(self._kept, n),
            numerator=Fraction(self._kept),
            denominator=Fraction(n),
            n=n,
            misses=n - self._kept,
            carried=self._carried,
            coverage=Fraction(n, n + self._unusable) if self._unusable else None,
            gross=percent(self._kept, n),
            flags=raised(period_open=self._setting.is_running, open_overdue=self._overdue > 0),
            excluded=left_out(NOT_YET_DUE, self._waiting)
            + left_out(CLOCK_NOT_STARTED, self._not_started)
            + left_out(CLOCK_UNUSABLE, self._unusable),
        )

    def _is_in_time(self, item: Observation, end: datetime) -> bool:
        calendar = self._setting.calendar
        return time_taken(self._rule, item, end, calendar) <= allowance(self._rule, item, calendar)

    def _was_overdue(self, item: Observation, start: datetime) -> bool:
        """Whether it had run out of time before this window, so that an earlier one has counted it already."""
        begin = self._setting.window.start
        return start < begin and not self._is_in_time(item, begin)

    def _may_end_here(self, item: Observation) -> bool:
        return item.ended_at is None or item.ended_at >= self._setting.window.start


def time_taken(rule: DurationRule, item: Observation, end: datetime, calendar: BusinessCalendar) -> timedelta:
    """How long the item's clock ran from its start to `end`; a pause without an end lasts until then."""
    start = item.instant(rule.start)
    if start is None or end <= start:
        return timedelta()
    pauses = [] if rule.pauses_count else [(first, last or end) for first, last in item.pauses]
    if rule.clock is DurationClock.business:
        return calendar.elapsed_excluding(start, end, pauses)
    return end - start - _paused(pauses, start, end)


def allowance(rule: DurationRule, item: Observation, calendar: BusinessCalendar) -> timedelta:
    """How long the item's clock may run.

    A limit in business days allows the open time until the close of that business day, and so
    depends on when the item started.
    """
    limit = rule.limit_for(item.attributes)
    start = item.instant(rule.start)
    if rule.clock is DurationClock.elapsed or rule.unit is not DurationUnit.days or start is None:
        return limit * _UNIT[rule.unit]
    return calendar.elapsed(start, calendar.deadline(start, limit, ClockUnit.business_days))


def _paused(pauses: list[Interval], start: datetime, end: datetime) -> timedelta:
    """How much of `start` to `end` lies in a pause; where they overlap it counts once."""
    paused = timedelta()
    for first, last in sorted(pauses):
        first, last = max(first, start), min(last, end)
        if first < last:
            paused += last - first
            start = last
    return paused
