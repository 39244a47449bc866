"""Percentiles by nearest rank: always one of the observed values, never an interpolation."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil

from services.sla.metrics.domain.measured import Exclusion, Measured
from services.sla.metrics.domain.metric import PercentileRule
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.observation import Observation

NOT_SUCCESSFUL = "not_successful"


def percentile(rule: PercentileRule, observations: Sequence[Observation], setting: Setting) -> Measured:
    """The percentile of the values seen in the window; `gross` takes failed checks in as well."""
    seen = [item for item in observations if item.occurred_at in setting.window]
    values = _values(seen)
    counted = _values(item for item in seen if item.good is not False) if rule.successful_only else values
    value = nearest_rank(counted, rule.percentile)
    failed = len(values) - len(counted)
    return Measured(
        value=value,
        numerator=value,
        denominator=None if value is None else Fraction(1),
        n=len(counted),
        gross=nearest_rank(values, rule.percentile),
        excluded=(Exclusion(NOT_SUCCESSFUL, failed),) if failed else (),
    )


def nearest_rank(values: Iterable[Decimal], percent: Decimal) -> Fraction | None:
    """The value at rank ceil(P/100 * n) of the sorted values; None without any."""
    ordered = sorted(values)
    if not ordered:
        return None
    return Fraction(ordered[ceil(Fraction(percent) * len(ordered) / 100) - 1])


def _values(observations: Iterable[Observation]) -> list[Decimal]:
    return [item.value for item in observations if item.value is not None]
