"""Due-date work: each timer claims due rows and writes fact and outbox row in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.session import Database
from shared.runtime.clock import Clock
from shared.runtime.telemetry import TIMER_FAILURES, TIMER_INTERVAL, TIMER_RUNS, TIMER_SUCCESS

log = structlog.get_logger()

BATCHES = 100


@dataclass(frozen=True)
class Timer:
    """`run(session, now)` handles a batch of due rows and says how many; it is called again until none.

    Rows are claimed with FOR UPDATE SKIP LOCKED, so any number of processes may run the same timer.
    """

    name: str
    every: timedelta
    run: Callable[[AsyncSession, datetime], Awaitable[int]]


class TimerRunner:
    """Runs a service's timers until stopped. A failing timer is logged and tried again next time."""

    def __init__(self, service: str, database: Database, timers: Sequence[Timer], clock: Clock) -> None:
        self._service = service
        self._database = database
        self._timers = timers
        self._clock = clock
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for timer in self._timers:
                group.create_task(self._loop(timer))

    def stop(self) -> None:
        self._stopping.set()

    async def run_once(self) -> int:
        """Run every timer now, until nothing is due; how many rows they handled."""
        return sum([await self._drain(timer) for timer in self._timers])

    async def _loop(self, timer: Timer) -> None:
        failures = self._announce(timer)
        while not self._stopping.is_set():
            try:
                await self._drain(timer)
            except Exception as error:
                failures.inc()
                log.error("timer_failed", timer=timer.name, exc_info=error)
            try:
                await asyncio.wait_for(self._stopping.wait(), timer.every.total_seconds())
            except TimeoutError:
                continue

    def _announce(self, timer: Timer) -> Counter:
        """Let every series exist before the first run: a counter that appears with a 1 shows no increase."""
        TIMER_INTERVAL.labels(self._service, timer.name).set(timer.every.total_seconds())
        TIMER_SUCCESS.labels(self._service, timer.name).set_to_current_time()
        return TIMER_FAILURES.labels(self._service, timer.name)

    async def _drain(self, timer: Timer) -> int:
        total = 0
        for _ in range(BATCHES):
            async with self._database.system() as session:
                handled = await timer.run(session, self._clock())
            total += handled
            if not handled:
                break
        TIMER_RUNS.labels(self._service, timer.name).inc(total)
        TIMER_SUCCESS.labels(self._service, timer.name).set_to_current_time()
        return total
