"""The example files that the demo uses: invented rows, worked out by hand."""

import csv
from datetime import UTC, datetime, time
from decimal import Decimal
from pathlib import Path

import pytest

from services.sla.metrics.domain.availability import AvailabilityRule
from services.sla.metrics.domain.durations import DurationRule, PriorityLimit
from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.terms import DurationClock, DurationUnit
from services.sla.metrics.domain.windows import Window, parse_period
from services.sla.observations.domain.observation import Observation
from services.sla.observations.domain.parsing import read_observation
from services.sla.observations.service.mapping import load_mapping, map_row
from services.sla.results.domain.result import compute
from shared.calendars.business_time import business_calendar
from shared.calendars.fiscal import bounds
from shared.contracts.governance import CalendarRules, OpenHours

EXAMPLES = Path(__file__).resolve().parents[4] / "services" / "sla" / "examples"
CALENDAR = business_calendar(
    CalendarRules(
        key="federal",
        zone="America/New_York",
        hours=tuple(OpenHours(weekday=day, opens=time(8), closes=time(17)) for day in range(5)),
    )
)
OCTOBER = Window("2026-10", *bounds(parse_period("2026-10"), "America/New_York"))
DESK = DurationRule(
    clock=DurationClock.business,
    unit=DurationUnit.hours,
    limit=9,
    limits_by_priority=(
        PriorityLimit(priority="1 - Critical", limit=2),
        PriorityLimit(priority="2 - High", limit=4),
        PriorityLimit(priority="4 - Low", limit=27),
    ),
)


def example(table: str, mapping: str) -> list[Observation]:
    read = load_mapping((EXAMPLES / mapping).read_text())
    with (EXAMPLES / table).open(newline="") as rows:
        return [read_observation(map_row(read, row, n)) for n, row in enumerate(csv.DictReader(rows), 2)]


@pytest.mark.parametrize(("service", "good"), [("payroll", 30), ("platform", 29)])
def test_the_example_checks_give_known_availability(service, good):
    metric = Metric(
        key="AV", name="Availability", service=service, rule=AvailabilityRule(), expected=Decimal(99)
    )
    result = compute(
        metric,
        example("probe_checks.csv", "status_checks.toml"),
        OCTOBER,
        CALENDAR,
        datetime(2026, 11, 10, tzinfo=UTC),
    )
    assert (result.numerator, result.denominator) == (good, 31)


def test_the_example_tickets_give_a_known_share_in_time():
    metric = Metric(
        key="IN", name="Resolved in time", service="service_desk", rule=DESK, expected=Decimal(90)
    )
    tickets = example("tickets.csv", "tickets.toml")
    result = compute(metric, tickets, OCTOBER, CALENDAR, datetime(2026, 11, 10, tzinfo=UTC))
    assert len(tickets) == 24
    assert (result.numerator, result.denominator) == (13, 23)
    assert result.flags == ("open_overdue",)
    assert [(row.reason, row.count) for row in result.excluded] == [("not_yet_due", 1)]
