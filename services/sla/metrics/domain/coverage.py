"""How much of what a metric should have seen was seen: no figure stands on the few checks that happened to arrive."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Protocol, Self

from services.sla.metrics.domain.agreed_time import AgreedTime, Part
from services.sla.metrics.domain.windows import Setting
from shared.calendars.zones import ONE_DAY, day_in, local_midnight, zone_named

NEITHER_OR_BOTH = "give either interval_minutes or per_day."


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What the source of a metric owes: a check every `interval_minutes`, or `per_day` checks each local day.

    One of the two is given.
    """

    interval_minutes: int | None
    per_day: int | None

    @classmethod
    def every(cls, minutes: int) -> Self:
        return cls(interval_minutes=minutes, per_day=None)

    @classmethod
    def daily(cls, checks: int) -> Self:
        return cls(interval_minutes=None, per_day=checks)

    @property
    def is_one(self) -> bool:
        return (self.interval_minutes is None) != (self.per_day is None)


class Watch(Protocol):
    """Takes every check in order of time; its share, 0 to 1, is None while nothing was due."""

    def saw(self, moment: datetime) -> None: ...

    def share(self) -> Fraction | None: ...


def watch_of(expects: Expectation | None, time: AgreedTime, setting: Setting) -> Watch | None:
    """What watches for this expectation; None where nobody said what to expect."""
    if expects is None:
        return None
    if expects.interval_minutes is not None:
        return _ByInterval(time, timedelta(minutes=expects.interval_minutes))
    return _ByDay(time, setting, expects.per_day or 1)


class _ByInterval:
    """A check watches until the next one is due. What counts is the watched share of agreed time."""

    def __init__(self, time: AgreedTime, interval: timedelta) -> None:
        self._time = time
        self._interval = interval

    def saw(self, moment: datetime) -> None:
        self._time.start(Part.watched, (moment, moment + self._interval))

    def share(self) -> Fraction | None:
        agreed = self._time.minutes(lacking=[Part.away])
        return self._time.minutes([Part.watched], [Part.away]) / agreed if agreed else None


class _ByDay:
    """Checks beyond the number for a day make up for no other day; days without open time owe none."""

    def __init__(self, time: AgreedTime, setting: Setting, per_day: int) -> None:
        self._time = time
        self._setting = setting
        self._per_day = per_day
        self._seen: Counter[date] = Counter()

    def saw(self, moment: datetime) -> None:
        self._seen[day_in(self._setting.zone, moment)] += 1

    def share(self) -> Fraction | None:
        days = list(self._days())
        seen = sum(min(self._seen[day], self._per_day) for day in days)
        return Fraction(seen, self._per_day * len(days)) if days else None

    def _days(self) -> Iterator[date]:
        """The local days that are over and had agreed time."""
        zone = zone_named(self._setting.zone)
        day = day_in(self._setting.zone, self._setting.window.start)
        while (end := local_midnight(day + ONE_DAY, zone)) <= self._setting.until:
            if self._time.has_agreed(local_midnight(day, zone), end):
                yield day
            day += ONE_DAY
