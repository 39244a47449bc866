"""What holds for the federal holidays of every year and for the periods of every day."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.calendars.business_days import FEDERAL_ET, is_business_day
from shared.calendars.fiscal import PeriodKind, bounds, fiscal_period, next_period, period_of
from shared.calendars.holidays import federal_holidays, nth_weekday

unhurried = settings(max_examples=100, deadline=None)

years = st.integers(2021, 2149)
days = st.dates(date(1991, 1, 1), date(2149, 12, 31))
kinds = st.sampled_from(PeriodKind)


@unhurried
@given(years)
def test_holidays_are_observed_on_weekdays_of_that_year(year):
    observed = federal_holidays(year)
    assert all(day.year == year and day.weekday() < 5 for day in observed)
    assert 10 <= len(observed) <= 12


@unhurried
@given(years)
def test_every_new_year_is_observed_once(year):
    near = [*federal_holidays(year - 1).items(), *federal_holidays(year).items()]
    first = date(year, 1, 1)
    observed = [
        day for day, name in near if name == "New Year's Day" and abs(day - first) < timedelta(days=7)
    ]
    assert len(observed) == 1


@unhurried
@given(years)
def test_inauguration_day_adds_at_most_one_day_every_fourth_year(year):
    added = set(federal_holidays(year, inauguration_day=True)) - set(federal_holidays(year))
    assert len(added) <= (year % 4 == 1)


@unhurried
@given(days)
def test_no_more_than_four_days_pass_without_a_federal_business_day(day):
    assert any(is_business_day(FEDERAL_ET, day + timedelta(days=n)) for n in range(5))


@unhurried
@given(kinds, days)
def test_a_day_lies_in_exactly_one_period_of_a_kind(kind, day):
    period = period_of(kind, day)
    assert day in period
    assert day not in next_period(period)
    assert period_of(kind, period.start_date) == period_of(kind, period.last_day) == period


@unhurried
@given(days)
def test_fiscal_quarters_and_months_follow_the_fiscal_year(day):
    place = fiscal_period(day)
    start = period_of(PeriodKind.fiscal_year, day).start_date
    months = (day.year - start.year) * 12 + day.month - start.month
    assert (place.month, place.quarter) == (months + 1, months // 3 + 1)


@unhurried
@given(kinds, days, st.sampled_from(["America/New_York", "Pacific/Apia", "Africa/Cairo", "America/Havana"]))
def test_periods_meet_exactly_in_universal_time(kind, day, zone):
    period = period_of(kind, day)
    assert bounds(period, zone)[1] == bounds(next_period(period), zone)[0]


@unhurried
@given(
    st.integers(1990, 2149),
    st.integers(1, 12),
    st.integers(0, 6),
    st.sampled_from([1, 2, 3, 4, -1, -2, -3, -4]),
)
def test_the_nth_weekday_is_that_weekday_in_its_week_of_the_month(year, month, weekday, n):
    day = nth_weekday(year, month, weekday, n)
    assert (day.year, day.month, day.weekday()) == (year, month, weekday)
    if n > 0:
        assert (day.day - 1) // 7 == n - 1
    else:
        assert (day + timedelta(days=-7 * n)).month != month
        assert (day + timedelta(days=7 * (-n - 1))).month == month
