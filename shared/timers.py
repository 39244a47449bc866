"""Due-date work: each timer claims due rows and writes fact and outbox row in one transaction."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from shared.clock import Clock
from shared.db import Database
from shared.telemetry import TIMER_FAILURES, TIMER_RUNS

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
        while not self._stopping.is_set():
            try:
                await self._drain(timer)
            except Exception as error:
                TIMER_FAILURES.labels(self._service, timer.name).inc()
                log.error("timer_failed", timer=timer.name, exc_info=error)
            try:
                await asyncio.wait_for(self._stopping.wait(), timer.every.total_seconds())
            except TimeoutError:
                continue

    async def _drain(self, timer: Timer) -> int:
        total = 0
        for _ in range(BATCHES):
            async with self._database.system() as session:
                handled = await timer.run(session, self._clock())
            total += handled
            if not handled:
                break
        TIMER_RUNS.labels(self._service, timer.name).inc(total)
        return total
