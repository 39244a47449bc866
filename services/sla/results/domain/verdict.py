"""The verdict on what was measured, by the exact value."""

from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil
from typing import Literal

from services.sla.metrics.domain.measured import Measured
from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.terms import Comparator, ZeroVolume

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

    @property
    def needs_cause(self) -> bool:
        """Whether the provider owes an explanation: for every miss, and for data that are missing or too few."""
        return self in _MISSED or self is ResultStatus.insufficient_data

    @property
    def has_value(self) -> bool:
        return self not in (ResultStatus.not_applicable, ResultStatus.no_data)


_MISSED: dict[ResultStatus, MissedLevel] = {
    ResultStatus.missed_expected: "expected",
    ResultStatus.missed_minimum: "minimum",
    ResultStatus.no_data: "no_data",
}
_WITHOUT_VOLUME = {
    ZeroVolume.not_applicable: ResultStatus.not_applicable,
    ZeroVolume.no_data: ResultStatus.no_data,
}


def judge(metric: Metric, measured: Measured) -> ResultStatus:
    """The verdict on the exact value; nothing measured, or too little, is never a level met."""
    if measured.coverage == 0:
        return ResultStatus.no_data
    if measured.n == 0 or measured.value is None:
        return _WITHOUT_VOLUME[metric.without_volume]
    if is_thin(metric, measured) or _is_small(metric, measured):
        return ResultStatus.insufficient_data
    if _meets(metric, measured.value) or _forgiven(metric, measured):
        return ResultStatus.met
    if metric.minimum is None or reaches(metric, measured.value, metric.minimum):
        return ResultStatus.missed_expected
    return ResultStatus.missed_minimum


def is_thin(metric: Metric, measured: Measured) -> bool:
    """Whether a smaller share was seen than the metric asks for."""
    return measured.coverage is not None and measured.coverage * 100 < Fraction(metric.minimum_coverage)


def reaches(metric: Metric, value: Fraction, level: Decimal) -> bool:
    """Whether the exact value is at the level or on its good side."""
    sides = {Comparator.gte: value >= Fraction(level), Comparator.lte: value <= Fraction(level)}
    return sides[metric.comparator]


def _is_small(metric: Metric, measured: Measured) -> bool:
    return metric.minimum_volume is not None and measured.n < metric.minimum_volume


def _meets(metric: Metric, value: Fraction) -> bool:
    """Not one success among the items is no level met, whatever the level."""
    none_good = metric.rule.is_ratio and metric.comparator is Comparator.gte and value == 0
    return not none_good and reaches(metric, value, metric.expected)


def _forgiven(metric: Metric, measured: Measured) -> bool:
    """The low-volume rule: one miss among few items says little about a rate.

    What was missed in an earlier window already is not forgiven again.
    """
    rule = metric.low_volume
    if rule is None or not measured.value:
        return False
    below = rule.below if rule.below is not None else _telling_volume(metric)
    few = measured.n < below and measured.misses - measured.carried <= rule.allowed_misses
    return few and _meets(metric, Fraction(measured.n - measured.carried, measured.n) * 100)


def _telling_volume(metric: Metric) -> int:
    """The least n at which one miss still meets the level: 1/(1 - target)."""
    tolerated = 1 - Fraction(metric.expected) / 100
    return ceil(1 / tolerated) if tolerated else 0
