"""When a delivery is retried, and what its answers mean."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.deliveries.domain import (
    LONGEST_RETRY_AFTER,
    SCHEDULE,
    DeliveryState,
    Fault,
    Verdict,
    after_attempt,
    retry_after,
    verdict_of_fault,
    verdict_of_status,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.delivered),
        (202, Verdict.delivered),
        (204, Verdict.delivered),
        (301, Verdict.configuration),
        (302, Verdict.configuration),
        (400, Verdict.retry),
        (401, Verdict.configuration),
        (403, Verdict.configuration),
        (404, Verdict.configuration),
        (405, Verdict.configuration),
        (408, Verdict.retry),
        (409, Verdict.retry),
        (410, Verdict.gone),
        (413, Verdict.configuration),
        (415, Verdict.configuration),
        (422, Verdict.configuration),
        (425, Verdict.retry),
        (429, Verdict.throttled),
        (500, Verdict.retry),
        (502, Verdict.throttled),
        (503, Verdict.retry),
        (504, Verdict.throttled),
        (999, Verdict.retry),
    ],
)
def test_every_status_has_its_verdict(status, verdict):
    assert verdict_of_status(status) is verdict


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        (Fault.blocked, Verdict.blocked),
        (Fault.timeout, Verdict.retry),
        (Fault.network, Verdict.retry),
        (Fault.tls, Verdict.configuration),
    ],
)
def test_every_fault_has_its_verdict(fault, verdict):
    assert verdict_of_fault(fault) is verdict


def test_ten_attempts_are_made_over_about_three_days():
    assert len(SCHEDULE) == 10
    assert timedelta(hours=75) < sum(SCHEDULE, timedelta()) < timedelta(hours=77)


@pytest.mark.parametrize(
    ("attempts", "delay"),
    [
        (1, timedelta(seconds=5)),
        (2, timedelta(minutes=5)),
        (3, timedelta(minutes=30)),
        (9, timedelta(hours=24)),
    ],
)
def test_a_failed_attempt_waits_for_its_place_in_the_schedule(attempts, delay):
    after = after_attempt(Verdict.retry, attempts, NOW, jitter=1.0)
    assert (after.state, after.at) == (DeliveryState.pending, NOW + delay)


def test_the_last_failure_exhausts_the_delivery():
    assert after_attempt(Verdict.retry, 10, NOW, jitter=1.0).state is DeliveryState.exhausted


@pytest.mark.parametrize("verdict", [Verdict.gone, Verdict.blocked])
def test_permanent_failures_exhaust_at_once(verdict):
    assert after_attempt(verdict, 1, NOW, jitter=1.0).state is DeliveryState.exhausted


def test_a_success_on_the_last_attempt_is_a_success():
    assert after_attempt(Verdict.delivered, 10, NOW, jitter=1.0).state is DeliveryState.done


def test_retry_after_lengthens_the_wait_but_never_shortens_it():
    asked = timedelta(minutes=10)
    assert after_attempt(Verdict.throttled, 1, NOW, jitter=1.0, wait=asked).at == NOW + asked
    assert after_attempt(Verdict.throttled, 3, NOW, jitter=1.0, wait=asked).at == NOW + timedelta(minutes=30)


@settings(max_examples=100)
@given(attempts=st.integers(1, 9), jitter=st.floats(0.8, 1.2))
def test_jitter_moves_a_retry_by_at_most_a_fifth(attempts, jitter):
    at = after_attempt(Verdict.retry, attempts, NOW, jitter=jitter).at
    assert at is not None
    assert abs((at - NOW) - SCHEDULE[attempts]) <= SCHEDULE[attempts] * 0.2001


@pytest.mark.parametrize("jitter", [0.5, 1.5])
def test_jitter_outside_its_bounds_is_a_programming_error(jitter):
    with pytest.raises(ValueError, match="jitter"):
        after_attempt(Verdict.retry, 1, NOW, jitter=jitter)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        (" 120 ", timedelta(minutes=2)),
        ("9" * 400, LONGEST_RETRY_AFTER),
        ("Fri, 20 Nov 2026 12:05:00 GMT", timedelta(minutes=5)),
        ("Fri, 20 Nov 2026 11:00:00 GMT", timedelta(0)),
        ("Fri, 20 Nov 2099 12:05:00 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 99 Nov 2026 12:05:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, wait):
    assert retry_after(header, NOW) == wait


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_no_retry_after_header_can_break_the_reader(header):
    wait = retry_after(header, NOW)
    assert wait is None or timedelta(0) <= wait <= LONGEST_RETRY_AFTER
