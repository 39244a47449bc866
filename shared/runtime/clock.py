"""Time as a dependency: code asks its caller for `now` and never reads a clock itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request

from shared.pure.refusal import Refused

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    return datetime.now(UTC)


class MovableClock:
    """A clock for the demonstration and for tests: it stands where it was set."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def __call__(self) -> datetime:
        return self._now

    def set(self, moment: datetime) -> None:
        self._now = moment

    def advance(self, step: timedelta) -> None:
        self._now += step


class ShiftedClock:
    """The clock of the embedded mode: it runs like the real one, some distance away, and never goes back."""

    def __init__(self, shift: timedelta = timedelta(), real: Clock = system_clock) -> None:
        self.shift = shift
        self.real = real
        self._stands_at: datetime | None = None

    def __call__(self) -> datetime:
        return self._stands_at or self.real() + self.shift

    def set(self, moment: datetime) -> None:
        """Move on to a moment; refuses `clock_backwards`."""
        if moment < self():
            message = f"The clock stands at {self():%Y-%m-%d %H:%M:%S} UTC and cannot go back."
            raise Refused("clock_backwards", message, "/to")
        self.shift = moment - self.real()
        if self._stands_at:
            self._stands_at = moment

    @contextmanager
    def standing(self) -> Iterator[None]:
        """While inside, only `set` moves the clock: work takes no time."""
        self._stands_at = self()
        try:
            yield
        finally:
            self.shift = self._stands_at - self.real()
            self._stands_at = None


def real_time(clock: Clock) -> Clock:
    """What leases, tokens and patience with others are measured by, however far the clock was moved."""
    return clock.real if isinstance(clock, ShiftedClock) else clock


async def _now(request: Request) -> datetime:
    moment: datetime = request.app.state.kernel.clock()
    return moment


Now = Annotated[datetime, Depends(_now)]
