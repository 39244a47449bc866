"""The computation of metrics, against vectors worked out by hand."""

from decimal import Decimal
from fractions import Fraction

import pytest

from services.sla.metrics.domain.availability import AvailabilityBasis, AvailabilityRule
from services.sla.metrics.domain.durations import DurationRule, PriorityLimit
from services.sla.metrics.domain.metric import LowVolume
from services.sla.metrics.domain.percentiles import PercentileRule, nearest_rank
from services.sla.metrics.domain.terms import Comparator, DurationClock, DurationUnit, ZeroVolume
from services.sla.observations.domain.observation import ObservationKind
from services.sla.results.domain.verdict import ResultStatus
from tests.support.measuring import (
    CHECKS,
    OUTAGES,
    at,
    coverage,
    maintenance,
    metric,
    outage,
    probes,
    result_of,
    seen,
    ticket,
)

JUNE_OUTAGE = [
    maintenance("2026-06-06T22:00", "2026-06-07T02:00", approved="2026-06-01T09:00"),
    outage("2026-06-07T01:20", "2026-06-07T03:30"),
]


@pytest.mark.parametrize(
    ("expected", "status"),
    [("99.5", ResultStatus.met), ("99.9", ResultStatus.missed_expected)],
)
def test_outage_minutes_inside_approved_maintenance_do_not_count(expected, status):
    result = result_of(metric(OUTAGES, expected=Decimal(expected)), JUNE_OUTAGE)
    assert (result.numerator, result.denominator) == (42_870, 42_960)
    assert result.value == Fraction(42_870, 42_960) * 100
    assert result.gross == Fraction(43_070, 43_200) * 100
    assert (result.status, result.display) == (status, "99.79 %")
    assert [(row.reason, row.count, row.minutes) for row in result.excluded] == [
        ("approved_maintenance", 1, 40)
    ]


def test_maintenance_approved_after_it_started_counts_as_outage():
    late = maintenance("2026-06-06T22:00", "2026-06-07T02:00", approved="2026-06-06T22:00")
    result = result_of(metric(OUTAGES), [late, JUNE_OUTAGE[1]])
    assert (result.numerator, result.denominator) == (43_070, 43_200)
    assert result.flags == ("maintenance_not_approved_before_start", "coverage_not_stated")


def test_maintenance_beyond_the_allowance_is_not_agreed():
    rule = AvailabilityRule(basis=AvailabilityBasis.outages, maintenance_allowance_minutes=230)
    result = result_of(metric(rule), JUNE_OUTAGE)
    assert (result.numerator, result.denominator) == (42_970 - 100, 42_970)


def test_overlapping_outages_are_counted_once():
    result = result_of(
        metric(OUTAGES),
        [outage("2026-06-02T10:00", "2026-06-02T10:30"), outage("2026-06-02T10:20", "2026-06-02T10:50")],
    )
    assert result.denominator - result.numerator == 50


@pytest.mark.parametrize(("window", "lost"), [("2026-10", 30), ("2026-11", 270)])
def test_an_outage_over_month_end_and_the_clock_change_is_clipped_to_each_month(window, lost):
    result = result_of(metric(OUTAGES), [outage("2026-10-31T23:30", "2026-11-01T03:30")], window)
    assert result.denominator - result.numerator == lost


@pytest.mark.parametrize(("window", "hours"), [("2026-03", 743), ("2026-11", 721)])
def test_agreed_time_follows_the_local_clock(window, hours):
    result = result_of(metric(OUTAGES), [coverage("2026-01-01T00:00", "2026-12-31T00:00")], window)
    assert (result.denominator, result.value) == (hours * 60, 100)


def test_outages_in_business_hours_count_against_business_hours_only():
    rule = AvailabilityRule(basis=AvailabilityBasis.outages, agreed_time=DurationClock.business)
    result = result_of(metric(rule), [outage("2026-06-02T16:30", "2026-06-03T08:15")])
    assert result.denominator == 21 * 9 * 60  # 22 weekdays less Juneteenth
    assert result.denominator - result.numerator == 45


def test_an_outage_that_still_lasts_counts_up_to_now_and_the_period_is_flagged_open():
    result = result_of(metric(OUTAGES), [outage("2026-06-01T10:00", None)], now=at("2026-06-01T12:00"))
    assert (result.numerator, result.denominator) == (600, 720)
    assert result.flags == ("period_open", "coverage_not_stated")


def test_no_record_of_outages_is_no_data_and_not_full_availability():
    result = result_of(metric(OUTAGES, zero_volume=ZeroVolume.no_data), [])
    assert (result.status, result.value, result.display) == (ResultStatus.no_data, None, "no data")


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (ZeroVolume.not_applicable, ResultStatus.not_applicable),
        (ZeroVolume.no_data, ResultStatus.no_data),
    ],
)
@pytest.mark.parametrize(
    "rule", [CHECKS, OUTAGES, PercentileRule(percentile=Decimal(95)), DurationRule(limit=60)]
)
def test_nothing_to_measure_is_never_a_level_met(rule, policy, status):
    unit = "ms" if isinstance(rule, PercentileRule) else "%"
    result = result_of(metric(rule, unit=unit, expected=Decimal(0), zero_volume=policy), [])
    assert (result.status, result.value, result.n) == (status, None, 0)


def test_a_value_just_under_the_level_is_a_miss_even_where_rounding_hides_it():
    result = result_of(metric(expected=Decimal("99.8"), display_decimals=1), probes(9979, 21))
    assert result.value == Fraction(9979, 100)
    assert (result.status, result.display) == (ResultStatus.missed_expected, "99.7 %")
    assert "rounds_to_met" in result.flags


@pytest.mark.parametrize(
    ("good", "bad", "status"),
    [
        (995, 5, ResultStatus.met),
        (994, 6, ResultStatus.missed_expected),
        (990, 10, ResultStatus.missed_expected),
        (989, 11, ResultStatus.missed_minimum),
    ],
)
def test_expected_and_minimum_levels_are_reached_exactly_at_the_level(good, bad, status):
    assert result_of(metric(minimum=Decimal("99.0")), probes(good, bad)).status is status


def test_one_miss_among_few_is_met_under_the_low_volume_rule_and_flagged():
    measured = metric(expected=Decimal(95), low_volume=LowVolume())
    result = result_of(measured, probes(7, 1))
    assert (result.value, result.status) == (Fraction(175, 2), ResultStatus.met)
    assert "low_volume" in result.flags
    assert result_of(measured, probes(6, 2)).status is ResultStatus.missed_expected
    assert result_of(measured, probes(18, 2)).status is ResultStatus.missed_expected


def test_the_low_volume_rule_may_name_its_own_volume():
    measured = metric(expected=Decimal(95), low_volume=LowVolume(below=5, allowed_misses=2))
    assert result_of(measured, probes(2, 2)).status is ResultStatus.met
    assert result_of(measured, probes(3, 2)).status is ResultStatus.missed_expected


def test_too_few_observations_are_insufficient_data():
    assert result_of(metric(minimum_volume=20), probes(19, 0)).status is ResultStatus.insufficient_data
    assert result_of(metric(minimum_volume=20), probes(20, 0)).status is ResultStatus.met


def test_checks_of_other_services_and_windows_are_not_counted():
    other = seen(ObservationKind.probe, "2026-06-02T10:00", service="travel", good=False)
    outside = seen(ObservationKind.probe, "2026-07-01T00:00", good=False)
    first = seen(ObservationKind.probe, "2026-06-01T00:00", good=True)
    result = result_of(metric(), [other, outside, first])
    assert (result.numerator, result.denominator) == (1, 1)


def test_checks_during_approved_maintenance_are_left_out_and_the_gross_value_keeps_them():
    checks = [seen(ObservationKind.probe, f"2026-06-06T{h}:30", good=h < 22) for h in (20, 21, 22, 23)]
    result = result_of(metric(), [*checks, JUNE_OUTAGE[0]])
    assert (result.value, result.gross, result.n) == (100, 50, 2)


TIMES = [12, 15, 20, 22, 30, 31, 33, 40, 55, 240]


@pytest.mark.parametrize(
    ("percent", "value"), [("90", 55), ("50", 30), ("100", 240), ("0.1", 12), ("90.1", 240)]
)
def test_a_percentile_is_the_nearest_rank(percent, value):
    assert nearest_rank([Decimal(t) for t in reversed(TIMES)], Decimal(percent)) == value


def test_a_percentile_may_leave_failed_checks_out():
    checks = [
        seen(ObservationKind.probe, f"2026-06-01T10:{n:02}", value=Decimal(t), good=t != 240)
        for n, t in enumerate(TIMES)
    ]
    rule = PercentileRule(percentile=Decimal(90))
    result = result_of(metric(rule, unit="ms", comparator=Comparator.lte, expected=Decimal(50)), checks)
    assert (result.value, result.gross, result.n) == (55, 55, 9)
    assert (result.status, result.display) == (ResultStatus.missed_expected, "55.00 ms")
    assert [(row.reason, row.count) for row in result.excluded] == [("not_successful", 1)]


def business(limit: int, unit: DurationUnit = DurationUnit.minutes, **more) -> DurationRule:
    return DurationRule(clock=DurationClock.business, unit=unit, limit=limit, **more)


@pytest.mark.parametrize(("limit", "kept"), [(165, 1), (164, 0)])
def test_business_minutes_skip_nights_weekends_and_the_observed_holiday(limit, kept):
    item = ticket("2026-07-02T16:30", "2026-07-06T10:15")
    assert result_of(metric(business(limit)), [item], "2026-07").numerator == kept


@pytest.mark.parametrize(
    ("stop", "kept"),
    [("2026-07-07T16:59", 1), ("2026-07-07T20:00", 1), ("2026-07-08T08:01", 0)],
)
def test_a_limit_in_business_days_ends_with_the_business_day(stop, kept):
    item = ticket("2026-07-02T16:30", stop)
    assert result_of(metric(business(2, DurationUnit.days)), [item], "2026-07").numerator == kept


def test_time_in_pauses_does_not_run():
    pauses = (
        (at("2026-06-02T10:00"), at("2026-06-02T11:00")),
        (at("2026-06-02T10:30"), at("2026-06-02T11:30")),
    )
    item = ticket("2026-06-02T09:00", "2026-06-02T12:00", pauses=pauses)
    assert result_of(metric(DurationRule(limit=90)), [item]).numerator == 1
    assert result_of(metric(DurationRule(limit=89)), [item]).numerator == 0
    assert result_of(metric(DurationRule(limit=90, pauses_count=True)), [item]).numerator == 0


def test_open_overdue_items_fail_and_items_not_yet_due_are_left_out():
    on_time = [ticket(f"2026-06-02T09:{n:02}", f"2026-06-02T10:{n:02}") for n in range(38)]
    late = [ticket(f"2026-06-03T09:{n:02}", f"2026-06-04T10:{n:02}") for n in range(2)]
    overdue = [ticket(f"2026-06-05T09:{n:02}", None) for n in range(3)]
    not_due = [ticket(f"2026-06-30T23:{n:02}", None) for n in range(5, 10)]
    result = result_of(metric(DurationRule(limit=60)), [*on_time, *late, *overdue, *not_due])
    assert (result.numerator, result.denominator) == (38, 43)
    assert (result.value, result.display) == (Fraction(38, 43) * 100, "88.37 %")
    assert result.flags == ("open_overdue",)
    assert [(row.reason, row.count) for row in result.excluded] == [("not_yet_due", 5)]


def test_an_overdue_item_fails_again_in_every_window_until_it_is_finished():
    item = ticket("2026-05-05T09:00", "2026-08-03T10:00")
    rule = metric(DurationRule(limit=60))
    counted = {m: result_of(rule, [item], m).n for m in ("2026-05", "2026-06", "2026-08", "2026-09")}
    assert counted == {"2026-05": 1, "2026-06": 1, "2026-08": 1, "2026-09": 0}


def test_limits_may_differ_by_priority():
    rule = DurationRule(limit=600, limits_by_priority=(PriorityLimit(priority="1", limit=15),))
    items = [ticket("2026-06-02T09:00", "2026-06-02T09:30", attributes={"priority": p}) for p in ("1", "2")]
    assert result_of(metric(rule), items).value == 50


def test_the_clock_may_stop_at_an_instant_an_attribute_names():
    answered = {"first_response_at": at("2026-06-02T09:10").isoformat()}
    item = ticket("2026-06-02T09:00", "2026-06-09T09:00", attributes=answered)
    assert result_of(metric(DurationRule(limit=15, stop="first_response_at")), [item]).value == 100
