"""Time as a dependency: code asks its caller for `now` and never reads a clock itself."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request

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


async def _now(request: Request) -> datetime:
    moment: datetime = request.app.state.kernel.clock()
    return moment


Now = Annotated[datetime, Depends(_now)]
