"""When a delivery is retried."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.channels.domain import Verdict
from services.notifier.deliveries.domain import SCHEDULE, DeliveryState, after_attempt, after_lost_lease

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


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
    ("attempts", "delay"), [(1, timedelta(0)), (2, timedelta(seconds=5)), (9, timedelta(hours=20))]
)
def test_an_attempt_without_a_result_is_made_again_later_each_time(attempts, delay):
    after = after_lost_lease(attempts, NOW)
    assert (after.state, after.at) == (DeliveryState.pending, NOW + delay)


def test_a_last_attempt_without_a_result_exhausts_the_delivery():
    assert after_lost_lease(10, NOW).state is DeliveryState.exhausted
