"""What was not seen is named, and nothing is met for want of data."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from services.sla.metrics.domain.availability import AvailabilityBasis, AvailabilityRule
from services.sla.metrics.domain.coverage import Expectation
from services.sla.metrics.domain.durations import DurationRule
from services.sla.metrics.domain.percentiles import PercentileRule
from services.sla.metrics.domain.terms import Comparator, DurationClock, DurationUnit
from services.sla.metrics.domain.windows import Window
from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.results.domain.result import compute
from services.sla.results.domain.verdict import ResultStatus
from tests.support.measuring import (
    FEDERAL,
    LONG_AFTER,
    OUTAGES,
    at,
    coverage,
    maintenance,
    metric,
    outage,
    result_of,
    seen,
    ticket,
)

ALL_JUNE = coverage("2026-06-01T00:00", "2026-07-01T00:00")
DAILY_3 = AvailabilityRule(expects=Expectation.daily(3))
HOURLY = AvailabilityRule(expects=Expectation.every(60))


def checks(every: timedelta, count: int, *, start: str = "2026-06-01T00:00", **more) -> list[Observation]:
    first = at(start)
    return [
        Observation(
            source="test",
            source_id=str(number),
            kind=ObservationKind.probe,
            service="payroll",
            occurred_at=first + number * every,
            good=True,
            **more,
        )
        for number in range(count)
    ]


def left_out(result) -> list[tuple[str, int, Fraction | None]]:
    return [(row.reason, row.count, row.minutes) for row in result.excluded]


def test_agreed_maintenance_without_an_outage_in_it_takes_nothing_away():
    agreed = maintenance("2026-06-09T22:00", "2026-06-10T02:00", approved="2026-06-01T09:00")
    result = result_of(metric(OUTAGES), [ALL_JUNE, agreed])
    assert (result.numerator, result.denominator, result.value) == (42_960, 42_960, 100)
    assert (result.status, result.coverage) == (ResultStatus.met, 1)
    assert left_out(result) == [("approved_maintenance", 1, 0)]


def test_one_watched_hour_says_nothing_about_a_month():
    result = result_of(metric(OUTAGES), [coverage("2026-06-01T12:00", "2026-06-01T13:00")])
    assert (result.status, result.coverage) == (ResultStatus.insufficient_data, Fraction(60, 43_200))
    assert (result.numerator, result.denominator) == (60, 60)
    assert left_out(result) == [("not_watched", 1, 43_140)]
    assert result.display == "insufficient data (0.14 % covered)"


@pytest.mark.parametrize(
    ("end", "status"),
    [("2026-06-28T00:00", ResultStatus.met), ("2026-06-27T23:59", ResultStatus.insufficient_data)],
)
def test_a_verdict_needs_nine_tenths_of_the_agreed_time(end, status):
    result = result_of(metric(OUTAGES), [coverage("2026-06-01T00:00", end)])
    assert result.status is status


def test_a_metric_may_ask_for_more_or_less_coverage():
    most = [coverage("2026-06-01T00:00", "2026-06-29T00:00")]
    assert result_of(metric(OUTAGES, minimum_coverage=Decimal(95)), most).status.value == "insufficient_data"
    assert result_of(metric(OUTAGES, minimum_coverage=Decimal(93)), most).status is ResultStatus.met


def test_outages_are_watched_time_and_coverage_may_come_in_pieces_that_overlap():
    pieces = [
        coverage("2026-06-01T00:00", "2026-06-10T00:00"),
        coverage("2026-06-09T00:00", "2026-06-20T00:00"),
        outage("2026-06-20T00:00", "2026-06-20T01:00"),
        coverage("2026-06-20T01:00", "2026-07-01T00:00"),
    ]
    result = result_of(metric(OUTAGES), pieces)
    assert (result.coverage, result.numerator, result.denominator) == (1, 43_140, 43_200)


def test_time_nobody_watched_is_neither_up_nor_down():
    gap = [coverage("2026-06-01T00:00", "2026-06-30T00:00"), outage("2026-06-02T10:00", "2026-06-02T11:00")]
    result = result_of(metric(OUTAGES), gap)
    assert (result.numerator, result.denominator) == (41_760 - 60, 41_760)
    assert left_out(result) == [("not_watched", 1, 1440)]


def test_a_log_of_outages_alone_is_judged_and_flagged_but_never_vouches_for_a_whole_window():
    logged = result_of(metric(OUTAGES), [outage("2026-06-02T10:00", "2026-06-02T11:00")])
    assert (logged.denominator, logged.coverage, logged.flags) == (43_200, None, ("coverage_not_stated",))
    agreed = maintenance("2026-06-02T09:00", "2026-06-02T12:00", approved="2026-06-01T09:00")
    planned = result_of(metric(OUTAGES), [agreed, outage("2026-06-02T10:00", "2026-06-02T11:00")])
    assert (planned.status, planned.value) == (ResultStatus.no_data, None)


def test_announced_maintenance_alone_is_no_record_of_how_it_went():
    agreed = maintenance("2026-06-02T09:00", "2026-06-02T12:00", approved="2026-06-01T09:00")
    assert result_of(metric(OUTAGES), [agreed]).status is ResultStatus.no_data


def test_closed_hours_need_no_watching():
    rule = AvailabilityRule(basis=AvailabilityBasis.outages, agreed_time=DurationClock.business)
    weekdays = [coverage(f"2026-06-{day:02}T08:00", f"2026-06-{day:02}T17:00") for day in range(1, 31)]
    result = result_of(metric(rule), weekdays)
    assert (result.coverage, result.denominator) == (1, 21 * 540)


def test_two_checks_of_ninety_are_too_little_and_none_at_all_no_data():
    two = checks(timedelta(hours=8), 2)
    result = result_of(metric(DAILY_3), two)
    assert (result.status, result.coverage) == (ResultStatus.insufficient_data, Fraction(2, 90))
    assert result.display == "insufficient data (2.22 % covered)"
    assert result_of(metric(DAILY_3), []).status is ResultStatus.no_data
    assert result_of(metric(DAILY_3), checks(timedelta(hours=8), 90)).status is ResultStatus.met


def test_many_checks_on_one_day_make_up_for_no_other():
    result = result_of(metric(DAILY_3), checks(timedelta(minutes=1), 1_000))
    assert result.coverage == Fraction(3, 90)


def test_checks_at_any_three_times_of_the_day_are_three_a_day():
    at_work = [
        check
        for hour in (9, 12, 15)
        for check in checks(timedelta(days=1), 30, start=f"2026-06-01T{hour:02}:00")
    ]
    assert result_of(metric(DAILY_3), at_work).coverage == 1


def test_a_check_watches_until_the_next_is_due_and_a_burst_no_longer():
    assert result_of(metric(HOURLY), checks(timedelta(hours=1), 720)).coverage == 1
    assert result_of(metric(HOURLY), checks(timedelta(seconds=1), 1000)).coverage < Fraction(2, 720)
    half = result_of(metric(HOURLY), checks(timedelta(hours=2), 360))
    assert (half.status, half.coverage) == (ResultStatus.insufficient_data, Fraction(1, 2))


def test_checks_that_jitter_by_a_second_cover_nearly_everything():
    rule = AvailabilityRule(expects=Expectation.every(1))
    jittering = [
        check
        for odd in (0, 1)
        for check in checks(timedelta(minutes=2), 21_600, start=f"2026-06-01T00:0{odd}:0{2 * odd}")
    ]
    result = result_of(metric(rule), jittering)
    assert Fraction(95, 100) < result.coverage < 1


def test_maintenance_and_closed_hours_owe_no_checks():
    agreed = maintenance("2026-06-09T00:00", "2026-06-25T00:00", approved="2026-06-01T09:00")
    rule = AvailabilityRule(expects=Expectation.every(60), agreed_time=DurationClock.business)
    owed = [
        check
        for check in checks(timedelta(hours=1), 720)
        if not at("2026-06-09T00:00") <= check.occurred_at < at("2026-06-25T00:00")
    ]
    assert result_of(metric(rule), [agreed, *owed]).coverage == 1
    on_weekdays = AvailabilityRule(expects=Expectation.daily(1), agreed_time=DurationClock.business)
    daily = checks(timedelta(days=1), 30, start="2026-06-01T12:00")
    assert result_of(metric(on_weekdays), daily).coverage == 1


def test_a_running_window_owes_only_what_is_due_by_now():
    rule, now = metric(HOURLY), at("2026-06-03T00:00")
    assert result_of(rule, checks(timedelta(hours=1), 48), now=now).coverage == 1
    daily = metric(DAILY_3)
    assert result_of(daily, checks(timedelta(hours=8), 7), now=at("2026-06-03T12:00")).coverage == 1


def test_response_times_are_owed_like_checks_and_a_check_without_its_value_is_none():
    rule = PercentileRule(percentile=Decimal(95), expects=Expectation.daily(1))
    slow = {"unit": "ms", "comparator": Comparator.lte, "expected": Decimal(500)}
    timed = checks(timedelta(days=1), 26, value=Decimal(300))
    result = result_of(metric(rule, **slow), timed)
    assert (result.status, result.coverage) == (ResultStatus.insufficient_data, Fraction(26, 30))
    empty = checks(timedelta(days=1), 4, start="2026-06-27T00:00")
    assert result_of(metric(rule, **slow), timed + empty).coverage == Fraction(26, 30)


def test_checks_outside_agreed_time_do_not_count():
    """A good check on a Monday at noon, a bad one on Sunday night."""
    rule = AvailabilityRule(agreed_time=DurationClock.business)
    monday = seen(ObservationKind.probe, "2026-06-01T12:00", good=True)
    sunday = seen(ObservationKind.probe, "2026-06-07T03:00", good=False)
    result = result_of(metric(rule), [monday, sunday])
    assert (result.numerator, result.denominator, result.value, result.gross) == (1, 1, 100, 100)
    assert left_out(result) == [("outside_agreed_time", 1, None)]


def test_maintenance_outside_agreed_time_uses_no_allowance_up():
    rule = AvailabilityRule(
        basis=AvailabilityBasis.outages,
        agreed_time=DurationClock.business,
        maintenance_allowance_minutes=60,
    )
    night = maintenance("2026-06-02T20:00", "2026-06-03T04:00", approved="2026-06-01T09:00")
    day = maintenance("2026-06-04T10:00", "2026-06-04T12:00", approved="2026-06-01T09:00")
    result = result_of(metric(rule), [ALL_JUNE, night, day])
    assert result.denominator == 21 * 540 - 60


ASSIGNED = DurationRule(limit=4, unit=DurationUnit.hours, start="assigned_at")


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"assigned_at": ""},
        {"assigned_at": "2026-06-05 08:30:00"},
        {"assigned_at": "2026-06-26T12:00:00Z"},
    ],
)
def test_an_item_whose_clock_says_nothing_is_never_kept(attributes):
    item = ticket("2026-06-05T08:00", "2026-06-25T08:00", attributes=attributes)
    result = result_of(metric(ASSIGNED, expected=Decimal(90)), [item])
    assert (result.status, result.n, result.value) == (ResultStatus.no_data, 0, None)
    assert left_out(result) == [("clock_unusable", 1, None)]


def test_a_verdict_needs_nine_tenths_of_the_items_with_a_clock():
    started = {"assigned_at": at("2026-06-05T09:00").isoformat()}
    good = [ticket(f"2026-06-05T08:{n:02}", f"2026-06-05T10:{n:02}", attributes=started) for n in range(9)]
    bad = [ticket(f"2026-06-06T08:{n:02}", f"2026-06-06T09:{n:02}") for n in range(2)]
    measured = metric(ASSIGNED, expected=Decimal(90))
    assert result_of(measured, good + bad[:1]).status is ResultStatus.met
    assert result_of(measured, good + bad).status is ResultStatus.insufficient_data


def test_an_open_item_nobody_took_on_yet_waits_and_is_named():
    waiting = ticket("2026-06-05T08:00", None)
    unreadable = ticket("2026-06-05T08:01", None, attributes={"assigned_at": "soon"})
    result = result_of(metric(ASSIGNED), [waiting])
    assert (result.status, left_out(result)) == (
        ResultStatus.not_applicable,
        [("clock_not_started", 1, None)],
    )
    assert result_of(metric(ASSIGNED), [unreadable]).status is ResultStatus.no_data


def test_a_clock_may_stop_after_the_item_ended():
    """Closed is later than resolved: the item belongs to the month in which it was closed."""
    closed = {"closed_at": at("2026-06-05T08:00").isoformat()}
    item = ticket("2026-05-20T08:00", "2026-05-21T08:00", attributes=closed)
    rule = DurationRule(limit=1, unit=DurationUnit.days, stop="closed_at")
    assert rule.reads_ended
    assert result_of(metric(rule), [item]).n == 1


@pytest.mark.parametrize(
    ("rule", "observations"),
    [
        (
            OUTAGES,
            [
                coverage("2026-10-16T00:00", "2026-11-01T00:00"),
                outage("2026-10-20T08:00", "2026-10-20T08:32"),
            ],
        ),
        (
            AvailabilityRule(),
            [
                seen(ObservationKind.probe, "2026-10-02T08:00", good=False),
                seen(ObservationKind.probe, "2026-10-20T09:00", good=True),
            ],
        ),
        (
            PercentileRule(percentile=Decimal(100)),
            [
                seen(ObservationKind.probe, "2026-10-02T08:00", good=True, value=Decimal(9)),
                seen(ObservationKind.probe, "2026-10-20T09:00", good=True, value=Decimal(4)),
            ],
        ),
        (
            DurationRule(limit=60),
            [ticket("2026-10-02T08:00", "2026-10-03T08:00"), ticket("2026-10-20T08:00", "2026-10-20T08:30")],
        ),
    ],
)
def test_an_sla_that_takes_effect_on_the_16th_is_measured_from_then(rule, observations):
    cut = Window("2026-10", at("2026-10-16T00:00"), at("2026-11-01T00:00"))
    unit = "%" if rule.is_ratio else "ms"
    result = compute(metric(rule, unit=unit), observations, cut, FEDERAL, LONG_AFTER)
    by_rule = {
        AvailabilityRule: (1, 1),
        PercentileRule: (4, 1),
        DurationRule: (1, 1),
    }
    expected = (23_008, 23_040) if rule is OUTAGES else by_rule[type(rule)]
    assert (result.numerator, result.denominator) == expected
