"""What an aggregation measured in a window: the exact value, and what was left out."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

STORED_PLACES = 10


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


def rounded(value: Fraction, places: int) -> Decimal:
    """The value to that many decimals, half to even, exactly."""
    return Decimal(f"{round(value * 10**places)}E-{places}")


def stored(value: Fraction | None) -> Decimal | None:
    """The value as a database column and an event carry it; the fraction beside it stays exact."""
    return None if value is None else rounded(value, STORED_PLACES)
