"""Builders for metrics and their observations, in June 2026 and New York unless told otherwise."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from services.sla.metrics.domain.availability import AvailabilityBasis, AvailabilityRule
from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.windows import Window, parse_period
from services.sla.observations.domain.observation import Observation, ObservationKind
from services.sla.results.domain.result import compute
from shared.calendars.business_time import business_calendar
from shared.calendars.fiscal import bounds
from shared.contracts.governance import CalendarRules, OpenHours

EASTERN = ZoneInfo("America/New_York")
FEDERAL = business_calendar(
    CalendarRules(
        key="federal",
        zone="America/New_York",
        hours=tuple(OpenHours(weekday=d, opens=time(8), closes=time(17)) for d in range(5)),
    )
)
LONG_AFTER = datetime(2030, 1, 1, tzinfo=UTC)
OUTAGES = AvailabilityRule(basis=AvailabilityBasis.outages)
CHECKS = AvailabilityRule(basis=AvailabilityBasis.checks)


def at(text: str) -> datetime:
    """A local time in New York."""
    return datetime.fromisoformat(text).replace(tzinfo=EASTERN).astimezone(UTC)


def metric(rule=CHECKS, **changes) -> Metric:
    given = {"key": "AV-01", "name": "Availability", "service": "payroll", "expected": Decimal("99.5")}
    return Metric(rule=rule, **given | changes)


def month(label: str, zone: str = "America/New_York") -> Window:
    return Window(label, *bounds(parse_period(label), zone))


def seen(kind: ObservationKind, start: str, end: str | None = None, **more) -> Observation:
    return Observation(
        source="test",
        source_id=f"{kind}-{start}",
        kind=kind,
        service=more.pop("service", "payroll"),
        occurred_at=at(start),
        ended_at=at(end) if end else None,
        **more,
    )


def maintenance(start: str, end: str, approved: str) -> Observation:
    approval = {"approved_at": at(approved).isoformat()}
    return seen(ObservationKind.maintenance, start, end, attributes=approval)


def outage(start: str, end: str | None) -> Observation:
    return seen(ObservationKind.outage, start, end)


def probes(good: int, bad: int) -> list[Observation]:
    start = datetime(2026, 6, 1, 12, tzinfo=UTC)
    return [
        Observation(
            source="test",
            source_id=str(number),
            kind=ObservationKind.probe,
            service="payroll",
            occurred_at=start + timedelta(minutes=number),
            good=number < good,
        )
        for number in range(good + bad)
    ]


def result_of(measured: Metric, observations, window: str = "2026-06", now: datetime = LONG_AFTER):
    return compute(measured, observations, month(window), FEDERAL, now)


def coverage(start: str, end: str) -> Observation:
    return seen(ObservationKind.coverage, start, end)


def ticket(start: str, end: str | None, **more) -> Observation:
    return seen(ObservationKind.event, start, end, **more)
