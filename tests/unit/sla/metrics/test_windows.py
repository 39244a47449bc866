"""Which window a report shows, and where the life of the SLA cuts it."""

from datetime import UTC, date, datetime

import pytest

from services.sla.metrics.domain.windows import parse_period, window_in
from shared.calendars.fiscal import PeriodKind
from shared.pure.refusal import Refusal
from tests.support.measuring import at

EASTERN = "America/New_York"
FIRST, LAST = date(2026, 1, 1), date(2028, 12, 31)


@pytest.mark.parametrize(
    ("kind", "period", "label"),
    [
        (PeriodKind.month, "2026-12", "2026-12"),
        (PeriodKind.quarter, "2026-12", "FY27 Q1"),
        (PeriodKind.quarter, "2026-11", None),
        (PeriodKind.fiscal_year, "2027-09", "FY27"),
        (PeriodKind.month, "FY27 Q1", "2026-12"),
    ],
)
def test_a_metric_appears_in_the_report_that_ends_with_its_window(kind, period, label):
    window = window_in(kind, EASTERN, parse_period(period), FIRST, LAST)
    assert (window.label if window else None) == label


def test_the_first_window_begins_with_the_sla_and_the_last_ends_with_it():
    life = (date(2026, 10, 16), date(2027, 1, 10))
    first = window_in(PeriodKind.month, EASTERN, parse_period("2026-10"), *life)
    assert (first.start, first.end) == (at("2026-10-16T00:00"), at("2026-11-01T00:00"))
    last = window_in(PeriodKind.month, EASTERN, parse_period("2027-01"), *life)
    assert (last.start, last.end) == (at("2027-01-01T00:00"), at("2027-01-11T00:00"))


@pytest.mark.parametrize(
    ("kind", "period", "label", "end"),
    [
        (PeriodKind.quarter, "2026-12", "FY27 Q1", "2027-01-01T00:00"),
        (PeriodKind.quarter, "2027-02", "FY27 Q2", "2027-02-11T00:00"),
        (PeriodKind.fiscal_year, "2027-02", "FY27", "2027-02-11T00:00"),
        (PeriodKind.month, "FY27 Q2", "2027-02", "2027-02-11T00:00"),
    ],
)
def test_a_window_that_the_end_of_the_sla_cuts_short_is_reported_with_the_last_period(
    kind, period, label, end
):
    window = window_in(kind, EASTERN, parse_period(period), FIRST, date(2027, 2, 10))
    assert (window.label, window.end) == (label, at(end))


def test_no_window_lies_outside_the_life_of_the_sla():
    assert window_in(PeriodKind.month, EASTERN, parse_period("2026-09"), date(2026, 10, 1), LAST) is None
    assert window_in(PeriodKind.month, EASTERN, parse_period("2029-01"), FIRST, LAST) is None


def test_the_days_of_the_sla_are_those_of_the_metrics_zone():
    window = window_in(PeriodKind.month, "UTC", parse_period("2026-10"), date(2026, 10, 16), LAST)
    assert window.start == datetime(2026, 10, 16, tzinfo=UTC)


@pytest.mark.parametrize("label", ["2026-13", "2026-1", "FY27 Q5", "FY2027", "", "1900-01", "２０２６-01"])
def test_a_period_that_is_none_is_refused(label):
    with pytest.raises(Refusal, match="is no period"):
        parse_period(label)
