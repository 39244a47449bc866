"""How far a clock is moved: business days of a calendar, days that keep the time of day, hours that pass."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from concordat.embedded.moves import after, moment
from shared.calendars.business_days import FEDERAL_ET
from shared.pure.refusal import Invalid

WASHINGTON = ZoneInfo("America/New_York")


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=WASHINGTON)


@pytest.mark.parametrize(
    ("start", "by", "end"),
    [
        ("2026-11-16T09:00", "10bd", "2026-12-01T09:00"),  # Thanksgiving is the 26th
        ("2026-11-13T17:30", "1bd", "2026-11-16T17:30"),
        ("2026-11-14T10:00", "1bd", "2026-11-16T10:00"),  # from a Saturday
        ("2026-10-31T09:00", "1d", "2026-11-01T09:00"),  # clocks go back that night: 25 hours
        ("2026-10-31T09:00", "2w", "2026-11-14T09:00"),
        ("2026-10-31T09:00", "24h", "2026-11-01T08:00"),
        ("2026-11-16T09:00", "90m", "2026-11-16T10:30"),
    ],
)
def test_where_a_move_ends(start, by, end):
    assert after(local(start), by, FEDERAL_ET) == local(end)


def test_business_days_are_those_of_the_calendar():
    always = replace(FEDERAL_ET, federal_holidays=False)
    assert after(local("2026-11-25T09:00"), "1bd", always) == local("2026-11-26T09:00")


@pytest.mark.parametrize("by", ["", "10", "bd", "-1d", "0d", "1.5h", "1y", "1d2h", "99999d"])
def test_what_is_no_distance_is_refused_with_examples(by):
    with pytest.raises(Invalid, match="10bd"):
        after(local("2026-11-16T09:00"), by, FEDERAL_ET)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("2026-11-16T09:00", datetime(2026, 11, 16, 14, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 7, 1, 4, tzinfo=UTC)),
        ("2026-11-16T09:00Z", datetime(2026, 11, 16, 9, tzinfo=UTC)),
        ("2026-11-16T09:00+02:00", datetime(2026, 11, 16, 7, tzinfo=UTC)),
    ],
)
def test_a_moment_without_an_offset_is_local(to, expected):
    assert moment(to, "America/New_York") == expected


@pytest.mark.parametrize("to", ["", "tomorrow", "16.11.2026", "2026-13-01", "09:00"])
def test_what_is_no_moment_is_refused_with_an_example(to):
    with pytest.raises(Invalid, match="2026-11-16T09:00"):
        moment(to, "America/New_York")
