"""Fiscal periods, their UTC bounds, and weekday and year arithmetic."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from shared.calendars.fiscal import (
    FiscalPeriod,
    PeriodKind,
    bounds,
    fiscal_period,
    fiscal_quarter,
    fiscal_year,
    fiscal_year_of,
    fy_label,
    month_of,
    next_period,
    period_of,
    previous_period,
    quarter_of,
)
from shared.calendars.holidays import nth_weekday
from shared.calendars.zones import local_midnight
from shared.pure.refusal import Refusal

NEW_YORK = "America/New_York"
WEDNESDAY, THURSDAY = 2, 3


@pytest.mark.parametrize(
    ("day", "year", "quarter", "month"),
    [
        (date(2026, 11, 22), 2027, 1, 2),
        (date(2026, 9, 30), 2026, 4, 12),
        (date(2026, 10, 1), 2027, 1, 1),
        (date(2027, 1, 1), 2027, 2, 4),
        (date(2027, 4, 1), 2027, 3, 7),
    ],
)
def test_a_day_has_its_place_in_the_fiscal_year(day, year, quarter, month):
    assert fiscal_period(day) == FiscalPeriod(year, quarter, month)
    assert (fiscal_year(day), fiscal_quarter(day)) == (year, quarter)


def test_fiscal_year_2026_runs_from_october_2025_to_september_2026():
    period = fiscal_year_of(date(2026, 3, 1))
    assert (period.start_date, period.last_day, period.label) == (
        date(2025, 10, 1),
        date(2026, 9, 30),
        "FY26",
    )


@pytest.mark.parametrize(("year", "label"), [(2027, "FY27"), (2000, "FY00"), (2009, "FY09")])
def test_a_fiscal_year_is_labelled_by_its_last_two_digits(year, label):
    assert fy_label(year) == label


@pytest.mark.parametrize(
    ("period", "start", "last_day", "label"),
    [
        (month_of(date(2026, 10, 17)), date(2026, 10, 1), date(2026, 10, 31), "2026-10"),
        (month_of(date(2028, 2, 29)), date(2028, 2, 1), date(2028, 2, 29), "2028-02"),
        (quarter_of(date(2026, 12, 31)), date(2026, 10, 1), date(2026, 12, 31), "FY27 Q1"),
        (quarter_of(date(2027, 1, 1)), date(2027, 1, 1), date(2027, 3, 31), "FY27 Q2"),
        (quarter_of(date(2026, 9, 30)), date(2026, 7, 1), date(2026, 9, 30), "FY26 Q4"),
    ],
)
def test_a_period_is_known_by_its_edges_and_label(period, start, last_day, label):
    assert (period.start_date, period.last_day, period.label) == (start, last_day, label)


@pytest.mark.parametrize("kind", PeriodKind)
def test_periods_follow_one_another_without_gap_or_overlap(kind):
    period = period_of(kind, date(2020, 1, 1))
    for _ in range(30):
        following = next_period(period)
        assert following.start_date == period.end_date_exclusive
        assert previous_period(following) == period
        period = following


def test_a_period_holds_its_first_day_and_not_the_day_after_its_last():
    period = month_of(date(2026, 10, 5))
    assert date(2026, 10, 1) in period
    assert date(2026, 11, 1) not in period


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 9), 743), (date(2026, 11, 9), 721), (date(2026, 6, 9), 720)]
)
def test_a_month_of_clock_change_is_an_hour_short_or_long(day, hours):
    start, end = bounds(month_of(day), NEW_YORK)
    assert end - start == timedelta(hours=hours)
    assert start.tzinfo is UTC


def test_an_outage_over_the_clock_change_is_shared_between_the_months_it_touches():
    zone = ZoneInfo(NEW_YORK)
    began = datetime(2026, 10, 31, 23, 30, tzinfo=zone).astimezone(UTC)
    ended = datetime(2026, 11, 1, 3, 30, tzinfo=zone).astimezone(UTC)
    minutes = []
    for month in (month_of(date(2026, 10, 31)), month_of(date(2026, 11, 1))):
        start, end = bounds(month, NEW_YORK)
        minutes.append((min(end, ended) - max(start, began)) // timedelta(minutes=1))
    assert minutes == [30, 270]


@pytest.mark.parametrize(
    ("zone", "day", "begins"),
    [
        # Cairo skips from 00:00 to 01:00
        ("Africa/Cairo", date(2024, 4, 26), datetime(2024, 4, 25, 22, tzinfo=UTC)),
        # Samoa left out 30 December 2011
        ("Pacific/Apia", date(2011, 12, 31), datetime(2011, 12, 30, 10, tzinfo=UTC)),
        # Havana goes from 01:00 back to 00:00
        ("America/Havana", date(2024, 11, 3), datetime(2024, 11, 3, 4, tzinfo=UTC)),
    ],
)
def test_a_day_without_one_plain_midnight_begins_at_its_first_instant(zone, day, begins):
    assert local_midnight(day, ZoneInfo(zone)) == begins


@pytest.mark.parametrize(
    "name", ["", "Mars/Olympus", "../etc/passwd", "America", "a\0b", "x" * 5000, "New York"]
)
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(Refusal) as refusal:
        bounds(month_of(date(2026, 1, 1)), name)
    assert refusal.value.code == "unknown_zone"


@pytest.mark.parametrize(
    ("year", "month", "weekday", "n", "expected"),
    [
        (2026, 11, WEDNESDAY, 4, date(2026, 11, 25)),
        (2030, 12, WEDNESDAY, 4, date(2030, 12, 25)),
        (2026, 11, THURSDAY, 2, date(2026, 11, 12)),
        (2027, 2, THURSDAY, 2, date(2027, 2, 11)),
        (2027, 11, THURSDAY, 2, date(2027, 11, 11)),
        (2026, 5, 0, -1, date(2026, 5, 25)),
        (2026, 5, 0, -4, date(2026, 5, 4)),
        (2026, 7, WEDNESDAY, 5, date(2026, 7, 29)),
        (2026, 12, THURSDAY, -1, date(2026, 12, 31)),
    ],
)
def test_the_nth_weekday_of_a_month(year, month, weekday, n, expected):
    assert nth_weekday(year, month, weekday, n) == expected


@pytest.mark.parametrize("n", [0, 5, 6, -5])
def test_a_weekday_the_month_does_not_have_is_an_error(n):
    with pytest.raises(ValueError, match="no weekday"):
        nth_weekday(2026, 2, 0, n)
