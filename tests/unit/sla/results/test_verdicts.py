"""Verdicts follow the exact value, and what people read never says otherwise."""

from decimal import Decimal
from fractions import Fraction

import pytest

from services.sla.metrics.domain.durations import DurationRule
from services.sla.metrics.domain.measured import Measured
from services.sla.metrics.domain.metric import LowVolume
from services.sla.metrics.domain.percentiles import PercentileRule
from services.sla.metrics.domain.terms import Comparator
from services.sla.results.domain.display import display, rounds_to_met, shown_share, stored
from services.sla.results.domain.verdict import ResultStatus, judge
from tests.support.measuring import metric, probes, result_of, ticket

MET, MISSED, BREACHED = ResultStatus.met, ResultStatus.missed_expected, ResultStatus.missed_minimum
SLOW = {"rule": PercentileRule(percentile=Decimal(95)), "unit": "ms", "comparator": Comparator.lte}
ERRORS = {"comparator": Comparator.lte}


def shown(value: Fraction, status: ResultStatus, *, n: int = 100_000, **definition) -> str:
    measured, asked = Measured(value=value, n=n), metric(**definition)
    assert judge(asked, measured) is status
    return display(asked, measured, status)


ONE_BAD = Fraction(24_759, 24_760) * 100


@pytest.mark.parametrize(
    ("value", "definition", "status", "text"),
    [
        # Not full while something failed, and not empty while something went well.
        (ONE_BAD, {"expected": Decimal("99.9")}, MET, "99.99 %"),
        (ONE_BAD, {"expected": Decimal("99.999")}, MISSED, "99.99 %"),
        (Fraction(100), {"expected": Decimal("99.9")}, MET, "100.00 %"),
        (Fraction(1, 1000), {"expected": Decimal(50)}, MISSED, "0.01 %"),
        (Fraction(0), {"expected": Decimal(50)}, MISSED, "0.00 %"),
        (Fraction(1, 1000), {"expected": Decimal(5), **ERRORS}, MET, "0.01 %"),
        # A level that is missed is not shown as reached, nor one that is reached as missed.
        (Fraction("99.79"), {"expected": Decimal("99.8"), "display_decimals": 1}, MISSED, "99.7 %"),
        (Fraction("99.85"), {"expected": Decimal("99.85"), "display_decimals": 1}, MET, "99.9 %"),
        (Fraction("98.996"), {"minimum": Decimal(99)}, BREACHED, "98.99 %"),
        (Fraction("5.004"), {"expected": Decimal(5), **ERRORS}, MISSED, "5.01 %"),
        (Fraction("4.996"), {"expected": Decimal(5), **ERRORS}, MET, "5.00 %"),
        (Fraction("3000.4"), {"expected": Decimal(3000), "display_decimals": 0, **SLOW}, MISSED, "3001 ms"),
        (Fraction("2999.6"), {"expected": Decimal(3000), "display_decimals": 0, **SLOW}, MET, "3000 ms"),
        # Where no figure of so few decimals is true, more are shown.
        (Fraction("99.95"), {"expected": Decimal("99.9"), "display_decimals": 0}, MET, "99.9 %"),
        (Fraction("99.997"), {"expected": Decimal("99.995"), "display_decimals": 2}, MET, "99.997 %"),
        # Otherwise half to even.
        (Fraction("99.805"), {"expected": Decimal("99.5")}, MET, "99.80 %"),
        (Fraction("99.815"), {"expected": Decimal("99.5")}, MET, "99.82 %"),
    ],
)
def test_no_figure_for_people_says_what_the_exact_one_does_not(value, definition, status, text):
    assert shown(value, status, **definition) == text


def test_a_figure_that_plain_rounding_would_have_met_is_flagged():
    assert rounds_to_met(metric(expected=Decimal("99.999")), ONE_BAD)
    assert not rounds_to_met(metric(expected=Decimal("99.9")), ONE_BAD)
    assert rounds_to_met(metric(expected=Decimal(5), **ERRORS), Fraction("5.004"))
    result = result_of(metric(expected=Decimal("99.999"), display_decimals=0), probes(24_759, 1))
    assert (result.display, "rounds_to_met" in result.flags) == ("99 %", True)


def test_the_stored_value_of_ten_decimals_is_not_full_either():
    nearly = Fraction(10**15 - 1, 10**15) * 100
    assert stored(metric(), nearly) == Decimal("99.9999999999")
    assert stored(metric(), Fraction(100)) == Decimal("100.0000000000")
    assert stored(metric(), Fraction(1, 10**15)) == Decimal("0.0000000001")
    assert stored(metric(), None) is None


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Fraction(1), "100.00"),
        (Fraction(99_999, 100_000), "99.99"),
        (Fraction(1, 10**6), "0.01"),
        (Fraction(0), "0.00"),
    ],
)
def test_a_share_is_whole_only_when_it_is(share, text):
    assert f"{shown_share(share):f}" == text


@pytest.mark.parametrize(
    ("definition", "measured", "text"),
    [
        (
            {},
            Measured(value=Fraction(100), n=9, coverage=Fraction(1, 750)),
            "insufficient data (0.13 % covered)",
        ),
        ({"minimum_volume": 20}, Measured(value=Fraction(100), n=19), "insufficient data (n = 19)"),
        (
            {"minimum_volume": 20},
            Measured(value=Fraction(100), n=19, coverage=Fraction(1)),
            "insufficient data (n = 19)",
        ),
    ],
)
def test_too_little_data_are_shown_as_such_and_not_by_their_value(definition, measured, text):
    asked = metric(**definition)
    assert display(asked, measured, judge(asked, measured)) == text


def test_nothing_of_what_was_due_is_no_data_whatever_was_counted():
    assert judge(metric(), Measured(value=Fraction(100), n=3, coverage=Fraction(0))) is ResultStatus.no_data


@pytest.mark.parametrize(
    ("status", "needs"),
    [
        (ResultStatus.met, False),
        (ResultStatus.not_applicable, False),
        (ResultStatus.missed_expected, True),
        (ResultStatus.missed_minimum, True),
        (ResultStatus.no_data, True),
        (ResultStatus.insufficient_data, True),
    ],
)
def test_every_miss_and_every_gap_needs_a_cause(status, needs):
    assert status.needs_cause is needs


FEW = metric(DurationRule(limit=60), expected=Decimal(95), low_volume=LowVolume())
ON_TIME = [ticket(f"2026-06-02T09:{n:02}", f"2026-06-02T09:{n + 30:02}") for n in range(7)]


def test_a_miss_that_arose_in_the_window_is_forgiven_among_few():
    late = ticket("2026-06-03T09:00", "2026-06-03T12:00")
    result = result_of(FEW, [*ON_TIME, late])
    assert (result.status, result.value, result.flags) == (MET, Fraction(7, 8) * 100, ("low_volume",))


@pytest.mark.parametrize("end", [None, "2026-06-20T09:00"])
def test_an_item_that_was_overdue_before_the_window_is_never_forgiven(end):
    old = ticket("2026-05-03T09:00", end)
    assert result_of(FEW, [*ON_TIME, old], "2026-06").status is MISSED
    assert result_of(FEW, [*ON_TIME, old], "2026-05").n == 1


def test_an_item_that_only_began_before_the_window_may_be_forgiven():
    over_midnight = ticket("2026-05-31T23:30", "2026-06-01T01:00")
    assert result_of(FEW, [*ON_TIME, over_midnight]).status is MET


def test_a_named_volume_forgives_what_arose_and_judges_the_rest():
    forgiving = metric(DurationRule(limit=60), expected=Decimal(80), low_volume=LowVolume(below=20))
    old = ticket("2026-05-03T09:00", None)
    new = ticket("2026-06-03T09:00", None)
    assert result_of(forgiving, [*ON_TIME, old, new]).status is MET
    assert result_of(forgiving, [*ON_TIME[:2], old, new]).status is MISSED


@pytest.mark.parametrize("level", ["95", "0"])
def test_not_one_success_is_never_met(level):
    asked = metric(expected=Decimal(level), low_volume=LowVolume(below=20))
    assert result_of(asked, probes(0, 1)).status is MISSED


def test_where_less_is_better_nothing_is_the_best_value():
    assert result_of(metric(expected=Decimal(5), **ERRORS), probes(0, 3)).status is MET
