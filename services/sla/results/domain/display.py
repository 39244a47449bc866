"""Figures for people: rounded, but never so that a reader would judge otherwise than the exact value is judged."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from services.sla.metrics.domain.measured import Measured
from services.sla.metrics.domain.metric import Metric
from services.sla.results.domain.verdict import ResultStatus, is_thin, reaches

STORED_PLACES = 10
_ROUNDINGS: tuple[Callable[[Fraction], int], ...] = (round, floor, ceil)
_WITHOUT_VALUE = {ResultStatus.not_applicable: "not applicable", ResultStatus.no_data: "no data"}


def display(metric: Metric, measured: Measured, status: ResultStatus) -> str:
    """The value with its unit; in words where there is none, or too little to go by."""
    if measured.value is None or not status.has_value:
        return _WITHOUT_VALUE[status]
    if status is ResultStatus.insufficient_data:
        return f"insufficient data ({_how_little(metric, measured)})"
    return f"{shown_value(metric, measured.value):f} {metric.unit}"


def _how_little(metric: Metric, measured: Measured) -> str:
    if is_thin(metric, measured) and measured.coverage is not None:
        return f"{shown_share(measured.coverage):f} % covered"
    return f"n = {measured.n}"


def shown_value(metric: Metric, value: Fraction) -> Decimal:
    """Half to even at the metric's decimals; else down, else up, else with more decimals: the first that tells no lie."""
    return next(
        shown for shown in _candidates(value, metric.display_decimals) if _is_true(metric, value, shown)
    )


def shown_share(share: Fraction) -> Decimal:
    """A share, 0 to 1, in percent: 100 only of all, 0 only of nothing."""
    value = share * 100
    return next(
        shown for shown in _candidates(value, 2) if all((shown == end) == (value == end) for end in (0, 100))
    )


def stored(metric: Metric, value: Fraction | None) -> Decimal | None:
    """The value as a database column and an event carry it; the fraction beside it stays exact."""
    if value is None:
        return None
    at_once = [rounded(value, STORED_PLACES, rounding) for rounding in _ROUNDINGS]
    return next((shown for shown in at_once if _is_true(metric, value, shown)), at_once[0])


def rounds_to_met(metric: Metric, value: Fraction) -> bool:
    """Whether plain rounding would have shown a level as reached that is not."""
    plain = Fraction(rounded(value, metric.display_decimals))
    return reaches(metric, plain, metric.expected) and not reaches(metric, value, metric.expected)


def rounded(value: Fraction, places: int, rounding: Callable[[Fraction], int] = round) -> Decimal:
    """The value to that many decimals, exactly; half to even unless `rounding` says otherwise."""
    return Decimal(f"{rounding(value * 10**places)}E-{places}")


def _candidates(value: Fraction, places: int) -> Iterator[Decimal]:
    """With decimals enough one of them lies as near to the value as any level does not."""
    while True:
        yield from (rounded(value, places, rounding) for rounding in _ROUNDINGS)
        places += 1


def _is_true(metric: Metric, value: Fraction, shown: Decimal) -> bool:
    """Whether figure and value lie on the same side of every level, and a ratio is full or empty only when it is."""
    levels = [level for level in (metric.expected, metric.minimum) if level is not None]
    ends = (0, 100) if metric.rule.is_ratio else ()
    return all(
        reaches(metric, value, level) == reaches(metric, Fraction(shown), level) for level in levels
    ) and all((shown == end) == (value == end) for end in ends)
