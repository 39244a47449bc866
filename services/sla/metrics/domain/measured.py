"""What an aggregation measures in a window, before anybody judges it."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from services.sla.observations.domain.observation import Observation

_MICROSECOND = timedelta(microseconds=1)
_PER_MINUTE = 60_000_000


@dataclass(frozen=True)
class Exclusion:
    """Observations left out under a named rule; `minutes` for stretches of time."""

    reason: str
    count: int
    minutes: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An aggregation before it is judged. `value` is None when there is nothing to divide by.

    `misses` counts failed items, `carried` those of them that had failed before the window began; both are 0 for kinds
    without items. `coverage` is the share, 0 to 1, of what should have been seen that was; None where nobody said
    what to expect. `gross` is the value before exclusions.
    """

    value: Fraction | None
    numerator: Fraction | None = None
    denominator: Fraction | None = None
    n: int
    misses: int = 0
    carried: int = 0
    coverage: Fraction | None = None
    gross: Fraction | None = None
    flags: tuple[str, ...] = ()
    excluded: tuple[Exclusion, ...] = ()


class Fold(Protocol):
    """An aggregation at work: given the observations of one service in their order of time, then asked once.

    It keeps sums and never the observations themselves, so that a window may hold any number of them.
    """

    def add(self, seen: Observation) -> None: ...

    def measured(self) -> Measured: ...


def percent(part: Fraction | int, whole: Fraction | int) -> Fraction | None:
    """The share in percent; None of nothing."""
    return Fraction(part) / Fraction(whole) * 100 if whole else None


def minutes(duration: timedelta) -> Fraction:
    """The duration in minutes, exactly."""
    return Fraction(duration // _MICROSECOND, _PER_MINUTE)


def left_out(reason: str, count: int, time: Fraction | None = None) -> tuple[Exclusion, ...]:
    """The line that names what was left out; none where nothing was."""
    return (Exclusion(reason, count, time),) if count else ()


def raised(**flags: bool) -> tuple[str, ...]:
    """The names of the flags that are up."""
    return tuple(name for name, is_up in flags.items() if is_up)


def level(value: Decimal) -> str:
    """A level as people write it: without exponent or trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
