"""Federal holidays by rule, business days, and the rules a calendar must keep."""

from dataclasses import replace
from datetime import date, time

import holidays
import pytest

from shared.calendars.business_days import FEDERAL_ET, check_rules, closing_reason, is_business_day
from shared.calendars.holidays import federal_holidays, holiday_name
from shared.contracts.governance import Closure, OpenHours
from shared.pure.refusal import Refusal


@pytest.mark.parametrize("year", range(2015, 2046))
def test_observed_days_agree_with_the_holidays_package(year):
    """The package also lists the Saturday or Sunday itself, on which a federal office is closed anyway."""
    oracle = {day for day in holidays.country_holidays("US", years=year) if day.weekday() < 5}
    assert set(federal_holidays(year)) == oracle


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2027, 12, 31), "New Year's Day"),
        (date(2026, 7, 3), "Independence Day"),
        (date(2027, 7, 5), "Independence Day"),
        (date(2026, 1, 19), "Birthday of Martin Luther King, Jr."),
        (date(2026, 2, 16), "Washington's Birthday"),
        (date(2026, 5, 25), "Memorial Day"),
        (date(2021, 6, 18), "Juneteenth National Independence Day"),
        (date(2026, 9, 7), "Labor Day"),
        (date(2026, 10, 12), "Columbus Day"),
        (date(2026, 11, 11), "Veterans Day"),
        (date(2026, 11, 26), "Thanksgiving Day"),
        (date(2026, 12, 25), "Christmas Day"),
        (date(2028, 1, 1), None),
        (date(2026, 7, 4), None),
        (date(2020, 6, 19), None),
        (date(9999, 12, 31), None),
    ],
)
def test_a_holiday_is_known_by_the_day_it_is_observed(day, name):
    assert holiday_name(day) == name


def test_a_saturday_new_year_is_observed_in_the_year_before():
    assert date(2027, 12, 31) in federal_holidays(2027)
    assert all(day.year == 2028 for day in federal_holidays(2028))
    assert "New Year's Day" not in federal_holidays(2028).values()


def test_observed_days_come_in_date_order():
    days = list(federal_holidays(2027))
    assert days == sorted(days)


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2021, 1, 20), "Inauguration Day"),
        (date(2029, 1, 19), None),
        (date(2029, 1, 20), "Inauguration Day"),
        (date(2029, 1, 21), None),
        (date(2029, 1, 22), None),
        (date(1985, 1, 21), "Inauguration Day"),
        (date(2025, 1, 20), "Birthday of Martin Luther King, Jr."),
        (date(2023, 1, 20), None),
    ],
)
def test_inauguration_day_has_no_day_in_lieu_of_a_saturday(day, name):
    assert holiday_name(day, inauguration_day=True) == name


def test_inauguration_day_is_left_out_unless_asked_for():
    assert holiday_name(date(2021, 1, 20)) is None


def test_a_callers_change_to_the_holidays_stays_its_own():
    federal_holidays(2026).clear()
    assert len(federal_holidays(2026)) == 11


SNOW = replace(FEDERAL_ET, closures=(Closure(day=date(2026, 2, 2), reason="snow"),))


@pytest.mark.parametrize(
    ("rules", "day", "reason"),
    [
        (FEDERAL_ET, date(2026, 11, 10), None),
        (FEDERAL_ET, date(2026, 11, 11), "holiday: Veterans Day"),
        (FEDERAL_ET, date(2026, 11, 14), "weekend"),
        (replace(FEDERAL_ET, hours=FEDERAL_ET.hours[:4]), date(2026, 11, 13), "no open hours"),
        (replace(FEDERAL_ET, federal_holidays=False), date(2026, 11, 11), None),
        (SNOW, date(2026, 2, 2), "closure: snow"),
        (SNOW, date(2026, 2, 3), None),
    ],
)
def test_a_day_is_closed_for_a_reason_or_a_business_day(rules, day, reason):
    assert closing_reason(rules, day) == reason
    assert is_business_day(rules, day) is (reason is None)


def hours(weekday=0, opens=time(8), closes=time(17)):
    return OpenHours(weekday=weekday, opens=opens, closes=closes)


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"zone": "Mars/Olympus"}, "unknown_zone", "/zone"),
        ({"hours": ()}, "calendar_never_opens", "/hours"),
        ({"hours": (hours(), hours(weekday=7))}, "invalid_open_hours", "/hours/1"),
        ({"hours": (hours(weekday=-1),)}, "invalid_open_hours", "/hours/0"),
        ({"hours": (hours(closes=time(8)),)}, "invalid_open_hours", "/hours/0"),
        ({"hours": (hours(opens=time(22), closes=time(6)),)}, "invalid_open_hours", "/hours/0"),
    ],
)
def test_rules_no_clock_can_run_on_are_refused(change, code, pointer):
    with pytest.raises(Refusal) as refusal:
        check_rules(replace(FEDERAL_ET, **change))
    assert (refusal.value.code, refusal.value.pointer) == (code, pointer)


def test_hours_may_run_to_the_end_of_the_day():
    check_rules(replace(FEDERAL_ET, hours=(hours(opens=time(0), closes=time(0)),)))
