"""Adds up the agreed time of a window by what went on in it: outages, agreed maintenance, somebody watching."""

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum, auto
from fractions import Fraction

from services.sla.metrics.domain.measured import minutes
from services.sla.metrics.domain.terms import DurationClock
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.observation import Interval

_NO_TIME = timedelta()
_INSTANT = timedelta(microseconds=1)


class Part(Enum):
    """What may go on at one time."""

    down = auto()
    away = auto()
    watched = auto()


class AgreedTime:
    """One pass over a window. Stretches come in the order of their starts and may overlap.

    Only the calendar's open hours are agreed under the clock `business`. Maintenance is away from agreed time until the
    `allowance` of agreed time is used up; the rest of it is not.
    """

    def __init__(
        self,
        setting: Setting,
        clock: DurationClock = DurationClock.elapsed,
        allowance: timedelta | None = None,
    ) -> None:
        self._calendar = setting.calendar if clock is DurationClock.business else None
        self._until = setting.until
        self._left = allowance
        self._at = setting.window.start
        self._ends = dict.fromkeys(Part, setting.window.start)
        self._spent: defaultdict[frozenset[Part], timedelta] = defaultdict(timedelta)

    def start(self, part: Part, stretch: Interval) -> None:
        """A stretch begins, and ends when it says."""
        begin, end = stretch
        self.pass_to(begin)
        self._ends[part] = max(self._ends[part], end)

    def pass_to(self, moment: datetime) -> None:
        """Time runs on to that moment, at most to the end of what is measured."""
        moment = min(moment, self._until)
        while self._at < moment:
            self._spend(min([moment, *(end for end in self._ends.values() if end > self._at)]))

    def has_room_for_maintenance(self) -> bool:
        return self._left is None or self._left > _NO_TIME

    def has_agreed(self, start: datetime, end: datetime) -> bool:
        """Whether any of that stretch is agreed time, maintenance aside."""
        return self._between(start, end) > _NO_TIME

    def is_agreed(self, moment: datetime) -> bool:
        """Whether the moment is agreed time, maintenance aside."""
        return self.has_agreed(moment, moment + _INSTANT)

    def is_away(self) -> bool:
        """Whether agreed maintenance is under way where time has run to."""
        return self._ends[Part.away] > self._at and self.has_room_for_maintenance()

    def minutes(self, having: Collection[Part] = (), lacking: Collection[Part] = ()) -> Fraction:
        """Agreed minutes, of the whole window, in which all of these went on and none of those."""
        self.pass_to(self._until)
        fitting = (
            time
            for parts, time in self._spent.items()
            if parts.issuperset(having) and parts.isdisjoint(lacking)
        )
        return minutes(sum(fitting, _NO_TIME))

    def _spend(self, edge: datetime) -> None:
        """Nothing begins or ends before the edge, but the allowance may run out."""
        parts = frozenset(part for part, end in self._ends.items() if end > self._at)
        time = self._between(self._at, edge)
        if Part.away in parts and self._left is not None:
            if time > self._left > _NO_TIME:
                edge, time = self._after(self._left), self._left
            elif time > self._left:
                parts -= {Part.away}
            self._left -= time if Part.away in parts else _NO_TIME
        self._spent[parts] += time
        self._at = edge

    def _between(self, start: datetime, end: datetime) -> timedelta:
        return end - start if self._calendar is None else self._calendar.elapsed(start, end)

    def _after(self, time: timedelta) -> datetime:
        return self._at + time if self._calendar is None else self._calendar.add(self._at, time)
