"""What a metric came to in a window: the exact value, what was left out, and the verdict."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Literal

STORED_PLACES = 10

MissedLevel = Literal["expected", "minimum", "no_data"]


class ResultStatus(StrEnum):
    """The verdict. Only `met` and the two misses say something about the level reached."""

    met = "met"
    missed_expected = "missed_expected"
    missed_minimum = "missed_minimum"
    not_applicable = "not_applicable"
    no_data = "no_data"
    insufficient_data = "insufficient_data"

    @property
    def missed_level(self) -> MissedLevel | None:
        """Which level was missed; missing data counts as the provider's failure to report."""
        return _MISSED.get(self)


_MISSED: dict[ResultStatus, MissedLevel] = {
    ResultStatus.missed_expected: "expected",
    ResultStatus.missed_minimum: "minimum",
    ResultStatus.no_data: "no_data",
}


@dataclass(frozen=True)
class Exclusion:
    """Observations left out under a named rule; `minutes` for stretches of time."""

    reason: str
    count: int
    minutes: Fraction | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An aggregation before it is judged. `value` is None when there is nothing to divide by.

    `gross` is the value before exclusions; `misses` counts failed items, None for other kinds.
    """

    value: Fraction | None
    numerator: Fraction | None = None
    denominator: Fraction | None = None
    n: int
    misses: int | None = None
    gross: Fraction | None = None
    flags: tuple[str, ...] = ()
    excluded: tuple[Exclusion, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result:
    """A judged measurement. `value` and `gross` are exact; `display` is rounded for people."""

    metric_key: str
    period: str
    status: ResultStatus
    value: Fraction | None
    numerator: Fraction | None
    denominator: Fraction | None
    n: int
    gross: Fraction | None
    flags: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    display: str


def rounded(value: Fraction, places: int) -> Decimal:
    """The value to that many decimals, half to even, exactly."""
    return Decimal(f"{round(value * 10**places)}E-{places}")


def stored(value: Fraction | None) -> Decimal | None:
    """The value as a database column and an event carry it; the fraction beside it stays exact."""
    return None if value is None else rounded(value, STORED_PLACES)
