"""The clock of a business calendar, on dated examples worked out by hand."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from shared.calendars.business_days import FEDERAL_ET
from shared.calendars.business_time import Span, business_calendar
from shared.calendars.fiscal import month_of, quarter_of
from shared.calendars.holidays import nth_weekday
from shared.contracts.governance import CalendarRules, ClockUnit, Closure, OpenHours
from shared.pure.refusal import Refusal

ET = ZoneInfo("America/New_York")
FEDERAL = business_calendar(FEDERAL_ET)
HOURS, DAYS = ClockUnit.business_hours, ClockUnit.business_days


def et(year, month, day, hour=0, minute=0, **more):
    return datetime(year, month, day, hour, minute, tzinfo=ET, **more).astimezone(UTC)


def around_the_clock(zone="America/New_York", opens=time(0), closes=time(0)):
    rows = tuple(OpenHours(weekday=weekday, opens=opens, closes=closes) for weekday in range(7))
    return business_calendar(CalendarRules(key="all", zone=zone, hours=rows, federal_holidays=False))


def minutes(count):
    return timedelta(minutes=count)


def test_a_ticket_over_the_observed_fourth_of_july_takes_165_business_minutes():
    assert FEDERAL.elapsed(et(2026, 7, 2, 16, 30), et(2026, 7, 6, 10, 15)) == minutes(165)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (et(2026, 11, 10, 9), et(2026, 11, 10, 9), minutes(0)),
        (et(2026, 11, 10, 10), et(2026, 11, 10, 9), minutes(0)),
        (et(2026, 11, 10, 18), et(2026, 11, 12, 8), minutes(0)),
        (et(2026, 11, 10, 16, 59), et(2026, 11, 12, 8, 1), minutes(2)),
        (et(2026, 11, 9, 0), et(2026, 11, 16, 0), minutes(4 * 9 * 60)),
        (et(2026, 3, 6, 16), et(2026, 3, 9, 9), minutes(120)),
        (et(2026, 12, 31, 16), et(2027, 1, 4, 9), minutes(120)),
    ],
)
def test_only_open_time_elapses(start, end, expected):
    assert FEDERAL.elapsed(start, end) == expected


def test_microseconds_are_kept():
    start = et(2026, 11, 10, 9)
    assert FEDERAL.elapsed(start, start + timedelta(microseconds=1)) == timedelta(microseconds=1)


def test_a_year_far_from_the_first_question_is_answered_alike():
    forward = business_calendar(replace(FEDERAL_ET, key="forward"))
    early, late = et(1995, 3, 1, 12), et(2040, 3, 1, 12)
    apart = forward.elapsed(late, late + timedelta(days=7)), forward.elapsed(early, early + timedelta(days=7))
    together = business_calendar(replace(FEDERAL_ET, key="together"))
    whole = together.elapsed(early, late)
    assert apart == (minutes(5 * 9 * 60), minutes(5 * 9 * 60))
    assert forward.elapsed(early, late) == whole
    assert together.elapsed(early, et(2010, 1, 1)) + together.elapsed(et(2010, 1, 1), late) == whole


def test_a_lunch_break_is_two_rows_a_day():
    rows = (
        OpenHours(weekday=1, opens=time(13), closes=time(17)),
        OpenHours(weekday=1, opens=time(8), closes=time(12)),
    )
    calendar = business_calendar(replace(FEDERAL_ET, hours=rows))
    assert calendar.elapsed(et(2026, 11, 10, 11), et(2026, 11, 10, 14)) == minutes(120)
    assert calendar.end_of_business_day(date(2026, 11, 10)) == et(2026, 11, 10, 17)


def test_rows_that_overlap_count_once():
    rows = (
        OpenHours(weekday=1, opens=time(8), closes=time(12)),
        OpenHours(weekday=1, opens=time(10), closes=time(13)),
    )
    calendar = business_calendar(replace(FEDERAL_ET, hours=rows))
    assert calendar.elapsed(et(2026, 11, 10), et(2026, 11, 11)) == minutes(5 * 60)


@pytest.mark.parametrize(
    ("opens", "closes", "spring", "autumn"),
    [
        (time(0), time(0), 23 * 60, 25 * 60),
        (time(1), time(2), 60, 120),
        (time(2), time(3), 0, 60),
        (time(2, 30), time(3, 15), 15, 45),
        (time(0, 30), time(1, 30), 60, 90),
    ],
)
def test_a_skipped_hour_is_never_open_and_a_repeated_one_is_open_twice(opens, closes, spring, autumn):
    calendar = around_the_clock(opens=opens, closes=closes)
    assert calendar.elapsed(et(2026, 3, 8), et(2026, 3, 9)) == minutes(spring)
    assert calendar.elapsed(et(2026, 11, 1), et(2026, 11, 2)) == minutes(autumn)


def test_a_day_whose_hours_are_all_skipped_is_no_business_day():
    calendar = around_the_clock(opens=time(2), closes=time(3))
    assert calendar.business_day_after(date(2026, 3, 7), 1) == date(2026, 3, 9)


def test_round_the_clock_a_month_has_all_its_hours():
    calendar = around_the_clock()
    assert calendar.elapsed(et(2026, 3, 1), et(2026, 4, 1)) == timedelta(hours=743)
    assert calendar.elapsed(et(2026, 11, 1), et(2026, 12, 1)) == timedelta(hours=721)


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([], 540),
        ([(et(2026, 11, 10, 9), et(2026, 11, 10, 10))], 480),
        ([(et(2026, 11, 10, 9), et(2026, 11, 10, 10)), (et(2026, 11, 10, 9, 30), et(2026, 11, 10, 11))], 420),
        ([(et(2026, 11, 9), et(2026, 11, 10, 9))], 480),
        ([(et(2026, 11, 10, 16), et(2026, 11, 20))], 480),
        ([(et(2026, 11, 1), et(2026, 11, 2))], 540),
        ([(et(2026, 11, 10, 10), et(2026, 11, 10, 9))], 540),
        ([(et(2026, 11, 1), et(2026, 12, 2))], 0),
    ],
)
def test_pauses_are_merged_and_clipped_before_they_are_taken_off(pauses, expected):
    day = et(2026, 11, 10), et(2026, 11, 11)
    assert FEDERAL.elapsed_excluding(*day, pauses) == minutes(expected)


@pytest.mark.parametrize(
    ("start", "open_time", "expected"),
    [
        (et(2026, 11, 10, 15), timedelta(hours=4), et(2026, 11, 12, 10)),
        (et(2026, 11, 10, 8), timedelta(hours=9), et(2026, 11, 10, 17)),
        (et(2026, 11, 14, 12), timedelta(hours=1), et(2026, 11, 16, 9)),
        (et(2026, 11, 14, 12), timedelta(), et(2026, 11, 14, 12)),
        (et(2026, 3, 6, 16), timedelta(hours=2), et(2026, 3, 9, 9)),
    ],
)
def test_open_time_is_added_over_closed_hours(start, open_time, expected):
    assert FEDERAL.add(start, open_time) == expected


def test_years_of_open_time_can_be_added():
    start = et(2026, 1, 5, 8)
    open_time = timedelta(hours=9 * 249 * 40)
    assert FEDERAL.elapsed(start, FEDERAL.add(start, open_time)) == open_time


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (et(2026, 11, 10, 9), et(2026, 11, 10, 9)),
        (et(2026, 11, 10, 8), et(2026, 11, 10, 8)),
        (et(2026, 11, 10, 17), et(2026, 11, 12, 8)),
        (et(2026, 12, 31, 23), et(2027, 1, 4, 8)),
    ],
)
def test_the_next_open_moment_is_now_or_the_next_opening(moment, expected):
    assert FEDERAL.next_open(moment) == expected


@pytest.mark.parametrize(
    ("period_end", "expected"),
    [
        (date(2026, 9, 30), date(2026, 10, 15)),
        (date(2026, 10, 31), date(2026, 11, 16)),
        (date(2026, 12, 31), date(2027, 1, 15)),
    ],
)
def test_the_tenth_business_day_after_a_period(period_end, expected):
    assert FEDERAL.business_day_after(period_end, 10) == expected
    assert FEDERAL.business_days_between(period_end, expected) == 10


@pytest.mark.parametrize(
    ("n", "expected"), [(5, date(2026, 11, 6)), (8, date(2026, 11, 12)), (10, date(2026, 11, 16))]
)
def test_the_reporting_timeline_of_october_2026(n, expected):
    assert FEDERAL.business_day_after(month_of(date(2026, 10, 1)).last_day, n) == expected


def test_a_report_is_acknowledged_within_ten_business_days_of_publication():
    assert FEDERAL.business_day_after(date(2026, 11, 16), 10) == date(2026, 12, 1)


def test_the_quarterly_roll_up_of_the_first_quarter_is_due_on_25_january():
    assert FEDERAL.business_day_after(quarter_of(date(2026, 10, 1)).last_day, 15) == date(2027, 1, 25)


def test_the_fourth_wednesday_always_leaves_four_business_days_to_read_the_report():
    for year in range(2026, 2040):
        for month in range(1, 13):
            published = FEDERAL.business_day_after(date(year, month, 1) - timedelta(days=1), 10)
            assert FEDERAL.business_days_between(published, nth_weekday(year, month, 2, 4)) >= 4
    assert nth_weekday(2026, 7, 2, 3) == FEDERAL.business_day_after(date(2026, 6, 30), 10)


def test_business_days_are_not_counted_backwards():
    assert FEDERAL.business_days_between(date(2026, 11, 16), date(2026, 11, 9)) == 0


def test_a_moderate_item_climbs_the_ladder_on_the_worked_dates():
    accepted = et(2026, 11, 10, 14, 20)
    rungs = []
    for limit in (5, 10, 15):
        accepted = FEDERAL.deadline(accepted, limit, DAYS)
        rungs.append(accepted)
    assert rungs == [et(2026, 11, 18, 17), et(2026, 12, 3, 17), et(2026, 12, 24, 17)]


@pytest.mark.parametrize(
    ("start", "limit", "unit", "expected"),
    [
        (et(2026, 11, 10, 15), 4, HOURS, et(2026, 11, 12, 10)),
        (et(2026, 11, 14, 12), 1, DAYS, et(2026, 11, 16, 17)),
        (et(2026, 11, 10, 23, 30), 1, DAYS, et(2026, 11, 12, 17)),
        (et(2026, 11, 10, 3), 1, DAYS, et(2026, 11, 12, 17)),
    ],
)
def test_a_deadline_counts_open_hours_or_whole_days_after_the_local_day(start, limit, unit, expected):
    assert FEDERAL.deadline(start, limit, unit) == expected


def test_a_recorded_closure_moves_the_deadline():
    closed = replace(FEDERAL_ET, closures=(Closure(day=date(2026, 11, 13), reason="snow"),), version=2)
    start = et(2026, 11, 10, 14)
    assert business_calendar(closed).deadline(start, 5, DAYS) == et(2026, 11, 19, 17)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (Fraction(0), et(2026, 11, 10, 15)),
        (Fraction(3, 4), et(2026, 11, 12, 9)),
        (Fraction(1), et(2026, 11, 12, 10)),
    ],
)
def test_a_warning_falls_when_its_share_of_the_open_time_has_run(fraction, expected):
    start = et(2026, 11, 10, 15)
    assert FEDERAL.fraction_point(start, et(2026, 11, 12, 10), fraction) == expected


def test_a_warning_is_never_early_by_a_rounded_microsecond():
    start = et(2026, 11, 10, 15)
    point = FEDERAL.fraction_point(start, start + timedelta(microseconds=10), Fraction(3, 4))
    assert point - start == timedelta(microseconds=8)


@pytest.mark.parametrize("fraction", [Fraction(-1, 4), Fraction(5, 4)])
def test_a_share_lies_between_none_and_all(fraction):
    with pytest.raises(ValueError, match="share"):
        FEDERAL.fraction_point(et(2026, 11, 10), et(2026, 11, 12), fraction)


def test_an_explanation_names_the_reason_of_every_stretch():
    rules = replace(FEDERAL_ET, closures=(Closure(day=date(2026, 11, 13), reason="snow"),))
    spans = business_calendar(rules).explain(et(2026, 11, 10, 16), et(2026, 11, 16, 9))
    assert spans == [
        Span(et(2026, 11, 10, 16), et(2026, 11, 10, 17), True, "open hours"),
        Span(et(2026, 11, 10, 17), et(2026, 11, 11), False, "closed hours"),
        Span(et(2026, 11, 11), et(2026, 11, 12), False, "holiday: Veterans Day"),
        Span(et(2026, 11, 12), et(2026, 11, 12, 8), False, "closed hours"),
        Span(et(2026, 11, 12, 8), et(2026, 11, 12, 17), True, "open hours"),
        Span(et(2026, 11, 12, 17), et(2026, 11, 13), False, "closed hours"),
        Span(et(2026, 11, 13), et(2026, 11, 14), False, "closure: snow"),
        Span(et(2026, 11, 14), et(2026, 11, 16), False, "weekend"),
        Span(et(2026, 11, 16), et(2026, 11, 16, 8), False, "closed hours"),
        Span(et(2026, 11, 16, 8), et(2026, 11, 16, 9), True, "open hours"),
    ]


def test_there_is_nothing_to_explain_when_no_time_passed():
    assert FEDERAL.explain(et(2026, 11, 10, 16), et(2026, 11, 10, 16)) == []


@pytest.mark.parametrize("fold", [0, 1])
def test_an_explanation_gets_past_a_midnight_that_comes_twice(fold):
    zone = ZoneInfo("America/St_Johns")
    calendar = business_calendar(replace(FEDERAL_ET, zone="America/St_Johns"))
    start = datetime(2008, 11, 1, 23, 30, tzinfo=zone, fold=fold)
    spans = calendar.explain(start, datetime(2008, 11, 4, tzinfo=zone))
    assert [span.reason for span in spans] == ["weekend", "closed hours", "open hours", "closed hours"]
    assert spans[2].duration == timedelta(hours=9)


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Apia", "Etc/GMT+12"])
@pytest.mark.parametrize("new_year", [2026, 2027])
def test_no_time_is_lost_where_the_local_year_turns(zone, new_year):
    business_calendar.cache_clear()
    calendar = around_the_clock(zone)
    calendar.next_open(et(2026, 6, 1))
    for hour in range(-24, 24):
        moment = datetime(new_year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        assert calendar.elapsed(moment, moment + minutes(60)) == minutes(60)


@pytest.mark.parametrize(
    "moment", [datetime(2025, 1, 1, 1, tzinfo=UTC), datetime(2027, 12, 31, 22, tzinfo=UTC)]
)
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Apia"])
def test_no_time_is_lost_at_the_edge_of_the_years_already_worked_out(zone, moment):
    business_calendar.cache_clear()
    calendar = around_the_clock(zone)
    calendar.next_open(et(2026, 6, 1))
    assert calendar.elapsed(moment, moment + minutes(60)) == minutes(60)


def test_equal_rules_share_one_calendar():
    assert business_calendar(FEDERAL_ET) is business_calendar(replace(FEDERAL_ET))
    assert business_calendar(FEDERAL_ET) is not business_calendar(replace(FEDERAL_ET, version=2))


@pytest.mark.parametrize("day", [date(2026, 11, 11), date(2026, 11, 14), date(2027, 12, 31)])
def test_a_closed_day_has_no_end_of_business(day):
    with pytest.raises(Refusal) as refusal:
        FEDERAL.end_of_business_day(day)
    assert refusal.value.code == "not_a_business_day"


@pytest.mark.parametrize(
    "question",
    [
        lambda: FEDERAL.elapsed(datetime(1, 1, 1, tzinfo=UTC), et(2026, 1, 1)),
        lambda: FEDERAL.elapsed(et(2026, 1, 1), datetime(9999, 12, 31, tzinfo=UTC)),
        lambda: FEDERAL.next_open(datetime(9999, 12, 31, tzinfo=UTC)),
        lambda: FEDERAL.next_open(datetime(9999, 12, 31, 23, tzinfo=ET)),
        lambda: FEDERAL.next_open(et(2149, 12, 31, 18)),
        lambda: FEDERAL.add(et(2149, 12, 31, 16), timedelta(hours=2)),
        lambda: FEDERAL.add(et(2026, 1, 1), timedelta(days=100_000)),
        lambda: FEDERAL.business_day_after(date(2149, 12, 31), 1),
        lambda: FEDERAL.business_day_after(date(2026, 1, 1), 100_000),
        lambda: FEDERAL.business_days_between(date(1, 1, 1), date(2026, 1, 1)),
        lambda: FEDERAL.end_of_business_day(date(9999, 12, 31)),
    ],
)
def test_a_question_outside_the_calendar_is_refused(question):
    with pytest.raises(Refusal) as refusal:
        question()
    assert refusal.value.code == "outside_calendar"


@pytest.mark.parametrize(
    "question",
    [
        lambda: FEDERAL.elapsed(datetime(2026, 1, 1), et(2026, 1, 2)),
        lambda: FEDERAL.add(et(2026, 1, 1), timedelta(hours=-1)),
        lambda: FEDERAL.business_day_after(date(2026, 1, 1), 0),
        lambda: FEDERAL.deadline(et(2026, 1, 5), 0, DAYS),
    ],
)
def test_a_question_without_meaning_is_an_error(question):
    with pytest.raises(ValueError):
        question()


def test_a_calendar_that_never_opens_is_refused():
    with pytest.raises(Refusal) as refusal:
        business_calendar(replace(FEDERAL_ET, hours=()))
    assert refusal.value.code == "calendar_never_opens"
