"""Compute a metric over a window: pick the aggregation, measure, judge unrounded, show rounded."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import singledispatch
from math import ceil
from typing import Literal

from services.sla.metrics.domain.availability import availability
from services.sla.metrics.domain.durations import within_duration
from services.sla.metrics.domain.measured import Exclusion, Measured, rounded
from services.sla.metrics.domain.metric import (
    AvailabilityRule,
    Comparator,
    DurationRule,
    Metric,
    PercentileRule,
    ZeroVolume,
)
from services.sla.metrics.domain.percentiles import percentile
from services.sla.metrics.domain.windows import Setting, Window
from services.sla.observations.domain.observation import Observation
from shared.calendars.business_time import BusinessCalendar
from shared.pure.canonical import canonical_json

LOW_VOLUME = "low_volume"
ROUNDS_TO_MET = "rounds_to_met"
RESULT_FORMAT = 1
"""How the results of a report are written down to be attested: 1 is the RFC 8785 JSON of definitions and results."""

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

_NO_VALUE_TEXT = {
    ResultStatus.not_applicable: "not applicable",
    ResultStatus.no_data: "no data",
}
_WITHOUT_VOLUME = {
    ZeroVolume.not_applicable: ResultStatus.not_applicable,
    ZeroVolume.no_data: ResultStatus.no_data,
}


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


@singledispatch
def measure(rule: object, observations: Sequence[Observation], setting: Setting) -> Measured:
    """The table of aggregations, by the class of the rule; a new one is one more `register`."""
    raise TypeError(f"no aggregation is registered for {type(rule).__name__}")


measure.register(AvailabilityRule, availability)
measure.register(PercentileRule, percentile)
measure.register(DurationRule, within_duration)


def compute(
    metric: Metric,
    observations: Sequence[Observation],
    window: Window,
    calendar: BusinessCalendar,
    now: datetime,
) -> Result:
    """The metric's result from the latest versions of its service's observations.

    The same observations, window and calendar give the same result once `now` is past the window.
    """
    own = [seen for seen in observations if seen.service == metric.service and not seen.deleted]
    measured = measure(metric.rule, own, Setting(window, calendar, now))
    status = judge(metric, measured)
    if status in _NO_VALUE_TEXT:
        measured = replace(measured, value=None, numerator=None, denominator=None, gross=None)
    return Result(
        metric_key=metric.key,
        period=window.label,
        status=status,
        value=measured.value,
        numerator=measured.numerator,
        denominator=measured.denominator,
        n=measured.n,
        gross=measured.gross,
        flags=measured.flags + _flags(metric, measured.value, status),
        excluded=measured.excluded,
        display=display(metric, measured.value, status),
    )


def judge(metric: Metric, measured: Measured) -> ResultStatus:
    """The verdict on the exact value; nothing measured is never a level met."""
    if measured.n == 0 or measured.value is None:
        return _WITHOUT_VOLUME[metric.zero_volume]
    if metric.minimum_volume is not None and measured.n < metric.minimum_volume:
        return ResultStatus.insufficient_data
    if reaches(metric, measured.value, metric.expected) or _forgiven(metric, measured):
        return ResultStatus.met
    if metric.minimum is None or reaches(metric, measured.value, metric.minimum):
        return ResultStatus.missed_expected
    return ResultStatus.missed_minimum


def reaches(metric: Metric, value: Fraction, level: Decimal) -> bool:
    """Whether the exact value is at the level or on its good side."""
    sides = {Comparator.gte: value >= Fraction(level), Comparator.lte: value <= Fraction(level)}
    return sides[metric.comparator]


def display(metric: Metric, value: Fraction | None, status: ResultStatus) -> str:
    """The value as people read it: rounded half to even, with its unit."""
    if value is None:
        return _NO_VALUE_TEXT[status]
    return f"{rounded(value, metric.display_decimals):f} {metric.unit}"


def result_text(results: Sequence[tuple[Metric, Result]]) -> bytes:
    """Definitions and exact results in their order, written down once in `RESULT_FORMAT`: the text that is attested."""
    lines = [{"metric": metric, "result": _exact(result)} for metric, result in results]
    return canonical_json({"results": lines}).encode()


def _exact(result: Result) -> dict[str, object]:
    exact = {name: _text(getattr(result, name)) for name in ("value", "numerator", "denominator", "gross")}
    excluded = [[row.reason, row.count, _text(row.minutes)] for row in result.excluded]
    named = {"key": result.metric_key, "period": result.period, "status": result.status, "n": result.n}
    return {**named, **exact, "flags": result.flags, "excluded": excluded}


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _forgiven(metric: Metric, measured: Measured) -> bool:
    """The low-volume rule: one miss among few items says little about a rate."""
    rule = metric.low_volume
    if rule is None or measured.misses is None or measured.value is None:
        return False
    below = rule.below if rule.below is not None else _telling_volume(metric)
    return measured.n < below and measured.misses <= rule.allowed_misses


def _telling_volume(metric: Metric) -> int:
    """The least n at which one miss still meets the level: 1/(1 - target)."""
    tolerated = 1 - Fraction(metric.expected) / 100
    return ceil(1 / tolerated) if tolerated else 0


def _flags(metric: Metric, value: Fraction | None, status: ResultStatus) -> tuple[str, ...]:
    if value is None:
        return ()
    met = reaches(metric, value, metric.expected)
    shown_met = reaches(metric, Fraction(rounded(value, metric.display_decimals)), metric.expected)
    raised = {
        LOW_VOLUME: status is ResultStatus.met and not met,
        ROUNDS_TO_MET: shown_met and not met,
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)
