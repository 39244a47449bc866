"""Definitions that are refused: what could never be computed, and what would be accepted and then ignored."""

from decimal import Decimal

import pytest

from services.sla.metrics.domain.availability import AvailabilityBasis, AvailabilityRule
from services.sla.metrics.domain.coverage import Expectation
from services.sla.metrics.domain.durations import DurationRule, PriorityLimit
from services.sla.metrics.domain.metric import LowVolume, check_metric
from services.sla.metrics.domain.percentiles import PercentileRule
from services.sla.metrics.domain.terms import Comparator, DurationUnit, ZeroVolume
from shared.pure.refusal import Refused
from tests.support.measuring import OUTAGES, metric

P95 = PercentileRule(percentile=Decimal(95))
HOURLY = Expectation.every(60)


def limits(*given: PriorityLimit, **more) -> DurationRule:
    return DurationRule(limit=1, limits_by_priority=given, **more)


IMPOSSIBLE = [
    ({"minimum": Decimal("99.9")}, "/minimum"),
    ({"comparator": Comparator.lte, "minimum": Decimal(1)}, "/minimum"),
    ({"expected": Decimal(101)}, "/expected"),
    ({"unit": "ms"}, "/unit"),
    ({"zone": "Mars/Olympus"}, "/zone"),
    ({"display_decimals": 7}, "/display_decimals"),
    ({"minimum_coverage": Decimal(101)}, "/minimum_coverage"),
    ({"rule": PercentileRule(percentile=Decimal(0)), "unit": "ms"}, "/rule/percentile"),
    ({"rule": DurationRule(limit=0)}, "/rule/limit"),
    ({"rule": DurationRule(limit=367, unit=DurationUnit.days)}, "/rule/limit"),
    ({"rule": limits(PriorityLimit(priority="1", limit=0))}, "/rule/limit"),
    ({"rule": limits(*[PriorityLimit(priority="1", limit=1)] * 2)}, "/rule/limits_by_priority"),
    ({"rule": DurationRule(limit=1, start="done_at", stop="done_at")}, "/rule/stop"),
    ({"rule": AvailabilityRule(expects=Expectation(interval_minutes=None, per_day=None))}, "/rule/expects"),
    ({"rule": AvailabilityRule(expects=Expectation(interval_minutes=5, per_day=3))}, "/rule/expects"),
    (
        {
            "rule": PercentileRule(
                percentile=Decimal(95), expects=Expectation(interval_minutes=None, per_day=None)
            ),
            "unit": "ms",
        },
        "/rule/expects",
    ),
]
IGNORED = [
    ({"rule": P95, "unit": "ms", "low_volume": LowVolume()}, "/low_volume"),
    ({"rule": OUTAGES, "low_volume": LowVolume()}, "/low_volume"),
    ({"comparator": Comparator.lte, "low_volume": LowVolume()}, "/low_volume"),
    ({"expected": Decimal(100), "low_volume": LowVolume()}, "/low_volume/below"),
    ({"rule": OUTAGES, "minimum_volume": 20}, "/minimum_volume"),
    ({"minimum_coverage": Decimal(98)}, "/minimum_coverage"),
    ({"rule": P95, "unit": "ms", "minimum_coverage": Decimal(98)}, "/minimum_coverage"),
    ({"rule": AvailabilityRule(basis=AvailabilityBasis.outages, expects=HOURLY)}, "/rule/expects"),
    ({"rule": AvailabilityRule(expects=HOURLY), "zero_volume": ZeroVolume.not_applicable}, "/zero_volume"),
    ({"rule": DurationRule(limit=1, priority_attribute="urgency")}, "/rule/priority_attribute"),
]


@pytest.mark.parametrize(("changes", "pointer"), IMPOSSIBLE + IGNORED)
def test_a_definition_that_makes_no_sense_is_refused_where_it_is_wrong(changes, pointer):
    with pytest.raises(Refused) as refused:
        check_metric(metric(**changes))
    assert refused.value.pointer == pointer


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"low_volume": LowVolume(below=20), "expected": Decimal(100)},
        {"rule": OUTAGES, "minimum_coverage": Decimal(98)},
        {"rule": OUTAGES, "zero_volume": ZeroVolume.not_applicable},
        {"rule": AvailabilityRule(expects=HOURLY), "minimum_coverage": Decimal(98)},
        {"rule": DurationRule(limit=1), "minimum_coverage": Decimal(98), "minimum_volume": 5},
        {"rule": limits(PriorityLimit(priority="1", limit=1), priority_attribute="urgency")},
    ],
)
def test_a_definition_of_which_every_part_counts_is_taken(changes):
    check_metric(metric(**changes))


@pytest.mark.parametrize(
    ("rule", "usual"),
    [
        (AvailabilityRule(), ZeroVolume.no_data),
        (OUTAGES, ZeroVolume.no_data),
        (P95, ZeroVolume.no_data),
        (DurationRule(limit=1), ZeroVolume.not_applicable),
    ],
)
def test_only_where_nothing_may_have_happened_is_nothing_not_applicable(rule, usual):
    assert metric(rule).without_volume is usual
