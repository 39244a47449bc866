"""Escalation by the model charter: next rungs, clocks in business time, and the last rung."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from services.changes.matters.domain.escalation import body_after_expiry, clock_of, elevated_at, next_body
from services.charter.charters.domain.model_charter import model_charter
from shared.contracts.governance import ExecutableCharter, Severity
from shared.pure.refusal import Refusal

EASTERN = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def charter() -> ExecutableCharter:
    return model_charter(
        title="O&M",
        services=("Payroll",),
        effective=date(2026, 10, 15),
        annual_order_value=Decimal(4800000),
    )


def eastern(day: str, hour: int = 17, minute: int = 0) -> datetime:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), EASTERN).replace(
        hour=hour, minute=minute
    )


def test_a_moderate_item_climbs_by_the_published_example(charter: ExecutableCharter) -> None:
    # Accepted Tue 2026-11-10; Veterans Day and Thanksgiving do not count.
    moment, ends = eastern("2026-11-10", 10), []
    for body in ("jowg", "smb", "esc"):
        clock = clock_of(charter, body, Severity.moderate, moment)
        assert clock is not None
        moment = clock.ends_at
        ends.append(moment)
    assert ends == [eastern("2026-11-18"), eastern("2026-12-03"), eastern("2026-12-24")]


def test_the_warning_comes_when_three_quarters_of_the_open_time_have_run(charter: ExecutableCharter) -> None:
    # 10:00 Tuesday to 17:00 next Wednesday: 52 open hours, 39 of them by 13:00 on Tuesday the 17th.
    clock = clock_of(charter, "jowg", Severity.moderate, eastern("2026-11-10", 10))
    assert clock is not None
    assert clock.warns_at == eastern("2026-11-17", 13)


def test_a_critical_clock_counts_business_hours(charter: ExecutableCharter) -> None:
    clock = clock_of(charter, "jowg", Severity.critical, eastern("2026-11-10", 15))
    assert clock is not None
    assert clock.ends_at == eastern("2026-11-12", 10)


@pytest.mark.parametrize(("body", "limit", "ends"), [("esc", 15, "2026-12-03"), ("esf", 20, "2026-12-10")])
def test_a_low_item_runs_on_the_moderate_limit_of_a_body_that_does_not_time_it(
    charter: ExecutableCharter, body: str, limit: int, ends: str
) -> None:
    clock = clock_of(charter, body, Severity.low, eastern("2026-11-10"))
    assert clock is not None
    assert (clock.limit, clock.ends_at) == (limit, eastern(ends))


@pytest.mark.parametrize("body", ["jowg", "eca", "smb", "esc", "esf"])
@pytest.mark.parametrize("severity", list(Severity))
def test_nothing_waits_without_a_clock(charter: ExecutableCharter, body: str, severity: Severity) -> None:
    assert clock_of(charter, body, severity, eastern("2026-11-10")) is not None


@pytest.mark.parametrize("severity", list(Severity))
def test_the_emergency_authority_has_one_elapsed_hour_at_any_time(
    charter: ExecutableCharter, severity: Severity
) -> None:
    # A Saturday night; and the night of 2026-11-01, when the hour from 01:00 comes twice.
    for declared in (eastern("2026-12-05", 2, 10), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)):
        clock = clock_of(charter, "eca", severity, declared)
        assert clock is not None
        assert clock.ends_at == declared + timedelta(hours=1)
        assert clock.warns_at == declared + timedelta(minutes=45)
    assert clock.calendar != "federal"


def test_a_ladder_that_does_not_time_a_body_gives_it_no_clock(charter: ExecutableCharter) -> None:
    untimed = replace(charter, ladder=tuple(rung for rung in charter.ladder if rung.body != "eca"))
    assert clock_of(untimed, "eca", Severity.critical, eastern("2026-11-10")) is None


def test_the_clock_names_the_calendar_version_that_made_it(charter: ExecutableCharter) -> None:
    edited = replace(charter, calendars=(replace(charter.calendars[0], version=4),))
    clock = clock_of(edited, "smb", Severity.high, eastern("2026-11-10"))
    assert clock is not None
    assert (clock.calendar, clock.calendar_version, clock.limit) == ("federal", 4, 5)


@pytest.mark.parametrize(("body", "above"), [("jowg", "smb"), ("eca", "smb"), ("smb", "esc"), ("esc", "esf")])
def test_the_parent_body_decides_escalations(charter: ExecutableCharter, body: str, above: str) -> None:
    assert next_body(charter, body).key == above


def test_the_last_rung_refuses_and_names_the_final_authority(charter: ExecutableCharter) -> None:
    with pytest.raises(Refusal) as refused:
        next_body(charter, "esf")
    assert refused.value.code == "no_higher_body"
    assert "executive sponsor of the customer and executive sponsor of the provider" in refused.value.message


@pytest.mark.parametrize(
    ("body", "severity", "above"),
    [
        ("jowg", Severity.low, "smb"),
        ("smb", Severity.low, None),
        ("smb", Severity.moderate, "esc"),
        ("esf", Severity.critical, None),
    ],
)
def test_an_expired_clock_sends_an_item_up_only_to_a_rung_that_times_it(
    charter: ExecutableCharter, body: str, severity: Severity, above: str | None
) -> None:
    next_body = body_after_expiry(charter, body, severity)
    assert (next_body and next_body.key) == above


def test_a_late_timer_does_not_move_the_clock_of_the_next_rung(charter: ExecutableCharter) -> None:
    expired = eastern("2026-11-18")
    assert elevated_at(charter, "smb", Severity.moderate, expired, eastern("2026-11-20", 9)) == expired


def test_a_body_never_gets_an_item_whose_time_is_over_already(charter: ExecutableCharter) -> None:
    now = eastern("2027-01-11", 9)
    assert elevated_at(charter, "smb", Severity.moderate, eastern("2026-11-18"), now) == now
