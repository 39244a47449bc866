"""Metrics over real measurements: probe checks of a university, incidents of an IT company."""

import csv
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.sla.metrics.domain.availability import AvailabilityRule
from services.sla.metrics.domain.durations import DurationRule, time_taken
from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.percentiles import PercentileRule
from services.sla.metrics.domain.terms import Comparator, DurationClock
from services.sla.metrics.domain.windows import Window, parse_period
from services.sla.observations.domain.observation import Observation
from services.sla.observations.domain.parsing import read_observation
from services.sla.observations.service.mapping import load_mapping, map_row
from services.sla.results.domain.result import compute
from shared.calendars.business_time import business_calendar
from shared.calendars.fiscal import bounds
from shared.contracts.governance import CalendarRules, OpenHours

EXAMPLES = Path(__file__).resolve().parents[4] / "services" / "sla" / "examples"
CHICAGO = ZoneInfo("America/Chicago")
RULES = CalendarRules(
    key="desk",
    zone="America/Chicago",
    hours=tuple(OpenHours(weekday=day, opens=time(8), closes=time(17)) for day in range(5)),
)
CALENDAR = business_calendar(RULES)
LONG_AFTER = datetime(2030, 1, 1, tzinfo=UTC)


def observations(table: Path, mapping_file: str) -> list[Observation]:
    mapping = load_mapping((EXAMPLES / mapping_file).read_text())
    with table.open(newline="") as rows:
        mapped = [map_row(mapping, row, line) for line, row in enumerate(csv.DictReader(rows), 2)]
    return [read_observation(row) for row in mapped]


@pytest.fixture(scope="module")
def checks(shared_data) -> list[Observation]:
    return observations(shared_data / "status-checks.csv", "status_checks.toml")


@pytest.fixture(scope="module")
def incidents(shared_data) -> list[Observation]:
    return observations(shared_data / "servicenow-incidents.csv", "servicenow_incidents.toml")


def in_month(label: str) -> Window:
    return Window(label, *bounds(parse_period(label), "UTC"))


@pytest.mark.parametrize(
    ("service", "month", "good", "n"),
    [
        ("Simple Syllabus", "2025-11", 32, 34),
        ("Simple Syllabus", "2026-01", 33, 35),
        ("You", "2025-12", 51, 72),
        ("MS Office", "2026-01", 35, 39),
        ("Canvas LMS", "2026-05", 31, 33),
    ],
)
def test_availability_of_real_services(checks, service, month, good, n):
    metric = Metric(
        key="AV", name="Availability", service=service, rule=AvailabilityRule(), expected=Decimal(99)
    )
    result = compute(metric, checks, in_month(month), CALENDAR, LONG_AFTER)
    assert (result.numerator, result.denominator, result.n) == (good, n, n)
    assert result.value == Fraction(good * 100, n)


@pytest.mark.parametrize(("service", "milliseconds", "n"), [("Okta", 864, 32), ("Canvas LMS", 663, 31)])
def test_response_time_of_real_services(checks, service, milliseconds, n):
    metric = Metric(
        key="RT",
        name="Response time P95",
        service=service,
        rule=PercentileRule(percentile=Decimal(95)),
        unit="ms",
        comparator=Comparator.lte,
        expected=Decimal(1000),
    )
    result = compute(metric, checks, in_month("2025-12"), CALENDAR, LONG_AFTER)
    assert (result.value, result.n) == (milliseconds, n)


def _paused(when: datetime, log: list[tuple[datetime, str]]) -> bool:
    states = [state for moment, state in log if moment <= when]
    return bool(states) and states[-1] == "Awaiting User Info"


HOLIDAYS = {date(2016, 5, 30), date(2016, 7, 4)}


def walked_minutes(start: datetime, end: datetime, log: list[tuple[datetime, str]]) -> tuple[int, int]:
    """Elapsed and business minutes, counted one by one on a UTC walk; written apart from the product."""
    elapsed = business = 0
    moment = start
    while moment < end:
        if not _paused(moment, log):
            local = moment.astimezone(CHICAGO)
            elapsed += 1
            business += local.weekday() < 5 and 8 <= local.hour < 17 and local.date() not in HOLIDAYS
        moment += timedelta(minutes=1)
    return elapsed, business


def _log(text: str) -> list[tuple[datetime, str]]:
    entries = [entry.split("=") for entry in text.split("|")]
    return [(datetime.fromisoformat(t).replace(tzinfo=CHICAGO).astimezone(UTC), s) for t, s in entries]


def _resolved(log: list[tuple[datetime, str]]) -> datetime:
    working = [n for n, (_, state) in enumerate(log) if state not in ("Resolved", "Closed")]
    return log[working[-1] + 1][0] if working else log[0][0]


def test_resolution_times_equal_a_walk_minute_by_minute(incidents, shared_data):
    with (shared_data / "servicenow-incidents.csv").open(newline="") as rows:
        raw = {row["number"]: row for row in csv.DictReader(rows)}
    assert len(incidents) == 445
    clocks = [DurationRule(limit=1), DurationRule(limit=1, clock=DurationClock.business)]
    for incident in incidents:
        log = _log(raw[incident.source_id]["state_log"])
        opened = _log(raw[incident.source_id]["opened_at"] + "=Opened")[0][0]
        assert (incident.occurred_at, incident.ended_at) == (opened, _resolved(log))
        taken = [time_taken(rule, incident, incident.ended_at, CALENDAR) for rule in clocks]
        assert tuple(t / timedelta(minutes=1) for t in taken) == walked_minutes(
            opened, _resolved(log), log
        ), incident.source_id
