"""Rules of verdicts and figures that hold for every input."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from services.sla.metrics.domain.availability import AvailabilityRule
from services.sla.metrics.domain.measured import Measured
from services.sla.metrics.domain.metric import LowVolume, Metric
from services.sla.metrics.domain.terms import Comparator
from services.sla.results.domain.display import rounded, shown_value
from services.sla.results.domain.verdict import ResultStatus, judge, reaches

METRICS = st.builds(
    lambda expected, gap, low: Metric(
        key="M",
        name="M",
        service="s",
        rule=AvailabilityRule(),
        expected=Decimal(expected) / 100,
        minimum=Decimal(max(0, expected - gap)) / 100,
        low_volume=LowVolume() if low else None,
    ),
    st.integers(0, 10_000),
    st.integers(0, 500),
    st.booleans(),
)


@settings(max_examples=200)
@given(METRICS, st.integers(1, 300), st.integers(0, 300))
def test_a_verdict_follows_from_the_exact_value_alone(metric, n, misses):
    misses = min(misses, n)
    value = Fraction(n - misses, n) * 100
    status = judge(metric, Measured(value=value, n=n, misses=misses))
    if value >= Fraction(metric.expected) and value:
        assert status is ResultStatus.met
    elif status is ResultStatus.met:
        assert metric.low_volume
        assert misses == 1
        assert n * (100 - Fraction(metric.expected)) < 100
    else:
        reached = reaches(metric, value, metric.minimum)
        assert status is (ResultStatus.missed_expected if reached else ResultStatus.missed_minimum)


@settings(max_examples=100)
@given(METRICS, st.fractions(0, 100), st.fractions(0, 100))
def test_a_better_value_never_gets_a_worse_verdict(metric, one, other):
    order = [ResultStatus.missed_minimum, ResultStatus.missed_expected, ResultStatus.met]
    worse, better = sorted((one, other))
    rank = [order.index(judge(metric, Measured(value=v, n=10_000))) for v in (worse, better)]
    assert rank == sorted(rank)
    assert reaches(metric, better, metric.expected) or not reaches(metric, worse, metric.expected)
    assert metric.comparator is Comparator.gte


@settings(max_examples=200)
@given(st.fractions(-1000, 1000), st.integers(0, 10))
def test_rounding_is_to_the_nearest_and_keeps_its_decimals(value, places):
    shown = rounded(value, places)
    assert abs(Fraction(shown) - value) * 2 <= Fraction(1, 10**places)
    assert -shown.as_tuple().exponent == places


@settings(max_examples=300)
@given(METRICS, st.sampled_from(Comparator), st.fractions(0, 100, max_denominator=10**6), st.integers(0, 4))
def test_a_figure_for_people_is_near_the_value_and_on_its_side_of_every_level(
    metric, comparator, value, places
):
    metric = replace(metric, comparator=comparator, display_decimals=places)
    shown = Fraction(shown_value(metric, value))
    assert abs(shown - value) < Fraction(1, 10**places)
    for level in (metric.expected, metric.minimum):
        assert reaches(metric, shown, level) == reaches(metric, value, level)
    assert (shown == 100, shown == 0) == (value == 100, value == 0)
