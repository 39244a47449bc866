"""A clock that was moved runs on, never goes back, and leaves real time to whom needs it."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from shared.pure.refusal import Refused
from shared.runtime.clock import MovableClock, ShiftedClock, real_time, system_clock
from shared.runtime.kernel import new_kernel

REAL = datetime(2027, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_it_runs_as_real_time_does_some_distance_away():
    real = MovableClock(REAL)
    clock = ShiftedClock(-24 * HOUR, real)
    assert clock() == REAL - 24 * HOUR
    real.advance(HOUR)
    assert clock() == REAL - 23 * HOUR


def test_while_it_stands_only_set_moves_it_and_afterwards_it_runs_on_from_there():
    real = MovableClock(REAL)
    clock = ShiftedClock(timedelta(), real)
    with clock.standing():
        real.advance(HOUR)
        assert clock() == REAL
        clock.set(REAL + 10 * HOUR)
        real.advance(HOUR)
        assert clock() == REAL + 10 * HOUR
    assert clock() == REAL + 10 * HOUR
    real.advance(HOUR)
    assert clock() == REAL + 11 * HOUR


@pytest.mark.parametrize("back", [timedelta(microseconds=1), HOUR, timedelta(days=400)])
def test_it_never_goes_back(back):
    clock = ShiftedClock(HOUR, MovableClock(REAL))
    with pytest.raises(Refused, match="2027-03-01 13:00:00 UTC and cannot go back") as refused:
        clock.set(clock() - back)
    assert refused.value.code == "clock_backwards"


def test_real_time_is_behind_a_moved_clock_and_any_other_clock_itself():
    real = MovableClock(REAL)
    assert real_time(ShiftedClock(HOUR, real)) is real
    assert real_time(real) is real
    assert real_time(system_clock) is system_clock


@pytest.mark.parametrize("environment", ["production", "development"])
def test_no_service_takes_a_moved_clock_outside_the_embedded_mode(environment):
    settings = SimpleNamespace(environment=environment)
    with pytest.raises(ValueError, match="embedded mode only"):
        new_kernel(None, settings, {}, (), (), None, ShiftedClock())
