"""The loops that look at the clock: what is due (`shared.runtime.due`), and housekeeping."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.session import Database
from shared.runtime.clock import Clock
from shared.runtime.due_runner import EVERY, DueRunner
from shared.runtime.telemetry import TIMER_FAILURES, TIMER_INTERVAL, TIMER_RUNS, TIMER_SUCCESS

log = structlog.get_logger()

BATCHES = 100


@dataclass(frozen=True)
class Timer:
    """Housekeeping. `run(session, now)` handles a batch of rows and says how many; it is called again until none.

    Rows are claimed with FOR UPDATE SKIP LOCKED, so any number of processes may run the same timer. A batch is one
    transaction: what concerns one row of one organization, and may fail for it, is no timer but a kind of `due`.
    """

    name: str
    every: timedelta
    run: Callable[[AsyncSession, datetime], Awaitable[int]]


@dataclass(frozen=True)
class _Loop:
    """`run_once` does all there is to do now and says how many rows that were."""

    name: str
    every: timedelta
    run_once: Callable[[], Awaitable[int]]


class TimerRunner:
    """Runs a service's loops until stopped. A failing one is logged and tried again next time."""

    def __init__(
        self,
        service: str,
        database: Database,
        timers: Sequence[Timer],
        clock: Clock,
        due: DueRunner | None = None,
    ) -> None:
        self._service = service
        self._database = database
        self._clock = clock
        housekeeping = [_Loop(timer.name, timer.every, partial(self._drain, timer)) for timer in timers]
        self._loops = [*([_Loop("due", EVERY, due.run_once)] if due else []), *housekeeping]
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for loop in self._loops:
                group.create_task(self._repeat(loop))

    def stop(self) -> None:
        self._stopping.set()

    async def run_once(self) -> int:
        """Run every loop now, until nothing is left; how many rows they handled."""
        return sum([await self._run(loop) for loop in self._loops])

    async def _repeat(self, loop: _Loop) -> None:
        failures = self._expose(loop)
        while not self._stopping.is_set():
            try:
                await self._run(loop)
            except Exception as error:
                failures.inc()
                log.error("timer_failed", timer=loop.name, exc_info=error)
            try:
                await asyncio.wait_for(self._stopping.wait(), loop.every.total_seconds())
            except TimeoutError:
                continue

    def _expose(self, loop: _Loop) -> Counter:
        """Let every series exist before the first run: a counter that appears with a 1 shows no increase."""
        TIMER_INTERVAL.labels(self._service, loop.name).set(loop.every.total_seconds())
        TIMER_SUCCESS.labels(self._service, loop.name).set_to_current_time()
        return TIMER_FAILURES.labels(self._service, loop.name)

    async def _run(self, loop: _Loop) -> int:
        handled = await loop.run_once()
        TIMER_RUNS.labels(self._service, loop.name).inc(handled)
        TIMER_SUCCESS.labels(self._service, loop.name).set_to_current_time()
        return handled

    async def _drain(self, timer: Timer) -> int:
        total = 0
        for _ in range(BATCHES):
            async with self._database.system() as session:
                handled = await timer.run(session, self._clock())
            total += handled
            if not handled:
                break
        return total
