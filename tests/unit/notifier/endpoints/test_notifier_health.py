"""Circuit breaker, room in flight, configuration flag and switching off, as functions of the past."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.channels.domain import Verdict
from services.notifier.endpoints.domain import (
    Circuit,
    DisableReason,
    Health,
    Window,
    after_failure,
    after_success,
    disable_reason,
    owner_must_know,
    room,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def failed(health: Health, times: int, now: datetime = NOW, verdict: Verdict = Verdict.retry) -> Health:
    for _ in range(times):
        health = after_failure(health, verdict, Window(), now)
    return health


def test_four_failures_leave_the_circuit_closed_and_the_fifth_opens_it():
    assert failed(Health(), 4).circuit is Circuit.closed
    opened = failed(Health(), 5)
    assert (opened.circuit, opened.open_until) == (Circuit.open, NOW + MINUTE)


@pytest.mark.parametrize(
    ("window", "circuit"),
    [
        (Window(attempts=20, failures=10), Circuit.open),
        (Window(attempts=20, failures=9), Circuit.closed),
        (Window(attempts=19, failures=19), Circuit.closed),
        (Window(attempts=400, failures=200), Circuit.open),
    ],
)
def test_half_of_twenty_failing_in_five_minutes_opens_the_circuit(window, circuit):
    assert after_failure(Health(), Verdict.retry, window, NOW).circuit is circuit


def test_each_failed_probe_doubles_the_wait_up_to_half_an_hour():
    health, now, waits = failed(Health(), 5), NOW, []
    for _ in range(7):
        assert health.open_until is not None
        waits.append((health.open_until - now) // MINUTE)
        now = health.open_until
        health = failed(health, 1, now)
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_a_straggler_sent_before_the_circuit_opened_is_not_its_probe():
    opened = failed(Health(), 5)
    after = failed(opened, 1, NOW + timedelta(seconds=10))
    assert (after.open_until, after.trips) == (opened.open_until, opened.trips)


def test_one_success_closes_the_circuit_and_starts_a_new_window():
    later = NOW + 2 * MINUTE
    closed = after_success(failed(Health(), 9), later)
    assert (closed.circuit, closed.failures_in_a_row, closed.trips) == (Circuit.closed, 0, 0)
    assert closed.window_start(later + MINUTE) == later


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (Health(), 4),
        (Health(circuit=Circuit.open, open_until=NOW + MINUTE), 0),
        (Health(circuit=Circuit.open, open_until=NOW), 1),
        (Health(circuit=Circuit.open, open_until=NOW - MINUTE), 1),
        (Health(throttled_until=NOW + MINUTE), 2),
        (Health(throttled_until=NOW), 4),
    ],
    ids=["healthy", "open", "due for a probe", "overdue for a probe", "throttled", "throttle over"],
)
def test_the_room_is_what_the_health_allows(health, expected):
    assert room(health, 4, NOW) == expected


def test_a_throttled_endpoint_never_closes_entirely():
    assert room(Health(throttled_until=NOW + MINUTE), 1, NOW) == 1


def test_three_configuration_failures_in_a_row_ask_for_the_owner():
    assert not failed(Health(), 2, verdict=Verdict.configuration).needs_configuration
    assert failed(Health(), 3, verdict=Verdict.configuration).needs_configuration
    broken = failed(failed(Health(), 2, verdict=Verdict.configuration), 1)
    assert not failed(broken, 1, verdict=Verdict.configuration).needs_configuration


@pytest.mark.parametrize(
    ("failures", "days", "reason"),
    [
        (10, 5, DisableReason.only_failures),
        (9, 5, None),
        (10, 4.9, None),
        (50, 30, DisableReason.only_failures),
    ],
)
def test_five_days_and_ten_attempts_of_only_failures_switch_an_endpoint_off(failures, days, reason):
    health = Health(failing_since=NOW - timedelta(days=days), failures_in_a_row=failures)
    assert disable_reason(health, Verdict.retry, NOW) is reason


def test_an_answer_of_410_switches_off_at_once():
    assert disable_reason(failed(Health(), 1), Verdict.gone, NOW) is DisableReason.gone


def test_the_owner_learns_of_it_after_two_days_of_failures():
    since = NOW - timedelta(days=2)
    assert owner_must_know(Health(failing_since=since), NOW)
    assert not owner_must_know(Health(failing_since=since + MINUTE), NOW)
    assert not owner_must_know(Health(), NOW)


@settings(max_examples=100)
@given(st.lists(st.booleans(), max_size=60))
def test_after_any_history_a_success_restores_all_room_and_failures_never_stop_probing(history):
    health, now = Health(), NOW
    for succeeded in history:
        now += MINUTE
        health = after_success(health, now) if succeeded else failed(health, 1, now)
        assert health.open_until is None or health.open_until <= now + 30 * MINUTE
    assert room(after_success(health, now), 4, now) == 4
