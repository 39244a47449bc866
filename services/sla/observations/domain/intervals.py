"""Stretches of time as pairs of instants: join, clip, subtract and measure them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from fractions import Fraction

Interval = tuple[datetime, datetime]

_MICROSECOND = timedelta(microseconds=1)
_PER_MINUTE = 60_000_000


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Sorted and disjoint: overlapping or touching stretches are joined, empty ones dropped."""
    joined: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] < interval[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def clipped(intervals: Iterable[Interval], start: datetime, end: datetime) -> list[Interval]:
    """The parts between `start` and `end`."""
    parts = ((max(first, start), min(last, end)) for first, last in intervals)
    return [part for part in parts if part[0] < part[1]]


def without(intervals: Iterable[Interval], holes: Iterable[Interval]) -> list[Interval]:
    """The intervals, joined, minus every hole."""
    rest = merged(intervals)
    for first, last in merged(holes):
        rest = [part for interval in rest for part in _cut(interval, first, last)]
    return rest


def capped(intervals: Iterable[Interval], allowance: timedelta | None) -> list[Interval]:
    """The earliest stretches that together last no longer than the allowance; None: all of them."""
    kept: list[Interval] = []
    for start, end in merged(intervals):
        if allowance is None:
            kept.append((start, end))
        elif allowance > timedelta():
            kept.append((start, min(end, start + allowance)))
            allowance -= end - start
    return kept


def length(intervals: Iterable[Interval]) -> timedelta:
    """The sum of the durations; merge first where overlaps must count once."""
    return sum((end - start for start, end in intervals), timedelta())


def minutes(duration: timedelta) -> Fraction:
    """The duration in minutes, exactly."""
    return Fraction(duration // _MICROSECOND, _PER_MINUTE)


def _cut(interval: Interval, first: datetime, last: datetime) -> list[Interval]:
    start, end = interval
    parts = [(start, min(end, first)), (max(start, last), end)]
    return [part for part in parts if part[0] < part[1]]
