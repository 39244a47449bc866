"""What a running service stands on, and its work in the background: relay, consumer, timers, loops of its own."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import structlog
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit.sealer import Sealer
from shared.contracts.base import Received
from shared.data.session import Database
from shared.messaging import outbox
from shared.messaging.backlog import EVERY, Backlog, TopicWatch
from shared.messaging.bus import Bus
from shared.messaging.consumer import ConsumerRunner
from shared.messaging.housekeeping import janitor
from shared.messaging.metrics import show_connections
from shared.messaging.open import open_bus
from shared.messaging.pglog.bus import PgLogBus
from shared.messaging.projections import Handler, Projection
from shared.messaging.relay import Relay
from shared.runtime import telemetry
from shared.runtime.clock import Clock, ShiftedClock, real_time
from shared.runtime.due import Kind
from shared.runtime.due_runner import DueRunner
from shared.runtime.settings import KernelSettings
from shared.runtime.timers import Timer, TimerRunner
from shared.web import idempotency
from shared.web.tokens import TokenVerifier

STOP_SECONDS = 25
logger = structlog.get_logger()


@dataclass(frozen=True)
class ServiceInfo:
    """What a service is called and what it shows.

    `tags` are (name, description) of the API document; `versions` is the folder of its own migrations.
    """

    name: str
    title: str
    description: str
    metadata: MetaData
    tags: Sequence[tuple[str, str]]
    versions: Path | None = None


class Worker(Protocol):
    """A loop of a service's own, beside relay, consumer and timers."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...

    async def run_once(self) -> int: ...


@dataclass
class Kernel:
    """What a running service stands on; `app.state.kernel`."""

    info: ServiceInfo
    settings: KernelSettings
    clock: Clock
    database: Database
    tokens: TokenVerifier
    bus: Bus
    relay: Relay
    consumer: ConsumerRunner | None
    due: DueRunner
    timers: TimerRunner
    workers: list[Worker] = field(default_factory=list)
    stopping: bool = False
    failed: bool = False

    def public_address(self, path: str) -> str:
        """The address of a path as callers reach it, whatever stands between them and this process."""
        return self.settings.public_url + path

    async def start(self) -> list[asyncio.Task[None]]:
        """Start the background work; the tasks run until `stop`."""
        show_connections(self.info.name, self.relay, self.consumer)
        loops: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("relay", self.relay.run()),
            *([("consumer", self.consumer.run())] if self.consumer else []),
            ("timers", self.timers.run()),
            (
                "janitor",
                janitor(
                    self.settings.database_url.get_secret_value(),
                    service=self.info.name,
                    schema=self.info.name,
                ),
            ),
            *((type(worker).__name__, worker.run()) for worker in self.workers),
        ]
        with structlog.contextvars.bound_contextvars(service=self.info.name):
            tasks = [asyncio.create_task(loop, name=f"{self.info.name}-{name}") for name, loop in loops]
        for task in tasks:
            task.add_done_callback(self._noticed)
        return tasks

    def _noticed(self, task: asyncio.Task[None]) -> None:
        """A loop that died leaves a service that answers but does nothing: end, and let the supervisor restart."""
        if self.stopping or task.cancelled() or task.exception() is None:
            return
        logger.error("background_task_died", task=task.get_name(), exc_info=task.exception())
        self.failed = True
        if self.settings.environment != "test":
            os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """Finish what is in hand, then end; what does not end in time is cancelled (nothing is lost)."""
        self.stopping = True
        self.timers.stop()
        stops = [self.relay.stop(), *(worker.stop() for worker in self.workers)]
        stops += [self.consumer.stop()] if self.consumer else []
        await asyncio.gather(*stops, return_exceptions=True)
        for task in tasks:
            if task.get_name().endswith("-janitor"):
                task.cancel()
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS) if tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def new_kernel(
    info: ServiceInfo,
    settings: KernelSettings,
    projections: Sequence[Projection],
    due: Sequence[Kind[Any]],
    timers: Sequence[Timer],
    bus: Bus | None,
    clock: Clock,
) -> Kernel:
    """Everything a service stands on, not yet started. Without a `bus` the settings choose it."""
    if isinstance(clock, ShiftedClock) and settings.environment not in ("embedded", "test"):
        raise ValueError("the clock can be moved in the embedded mode only")
    url = settings.database_url.get_secret_value()
    database = Database(url, info.name, pool_size=settings.pool_size)
    bus = bus or open_bus(settings)
    consumer = consumer_of(info.name, bus, database, projections, clock)
    runner = DueRunner(info.name, database, due, clock)
    own = (
        Timer("idempotency_expiry", timedelta(hours=1), idempotency.expire),
        Timer("backlog", EVERY, Backlog(info.name, consumer).measure),
        Timer("due_backlog", EVERY, runner.measure),
        *Sealer(info.name, settings.audit_keys(info.name)).timers,
        *_bus_timers(info.name, bus),
    )
    telemetry.POOL_SIZE.labels(info.name).set(settings.pool_size)
    telemetry.POOL_IN_USE.labels(info.name).set_function(lambda: database.connections_in_use)
    return Kernel(
        info=info,
        settings=settings,
        clock=clock,
        database=database,
        tokens=TokenVerifier(settings.issuers, settings.sysadmins, real_time(clock)),
        bus=bus,
        relay=Relay(url, bus, service=info.name, schema=info.name, wakeup=database.wake_ups[outbox.WAKE_UP]),
        consumer=consumer,
        due=runner,
        timers=TimerRunner(info.name, database, (*timers, *own), clock, runner),
    )


def _bus_timers(service: str, bus: Bus) -> tuple[Timer, ...]:
    """The log in PostgreSQL forgets by itself what every group has read; a broker has topics to be made first."""
    if not isinstance(bus, PgLogBus):
        return (Timer("topics", timedelta(minutes=1), TopicWatch(service, bus).look),)

    async def prune(session: AsyncSession, now: datetime) -> int:
        await bus.prune()
        return 0

    return (Timer("bus_retention", timedelta(hours=1), prune),)


def consumer_of(
    service: str, bus: Bus, database: Database, projections: Sequence[Projection], clock: Clock
) -> ConsumerRunner | None:
    """The service's one consumer group, or None for a service that listens to nobody."""
    if not projections:
        return None
    timed = [
        replace(each, handlers={cls: _timed(each, handler, clock) for cls, handler in each.handlers.items()})
        for each in projections
    ]
    return ConsumerRunner(
        service, f"concordat-{service}", bus, database.system, timed, clock=real_time(clock)
    )


def _timed(projection: Projection, handler: Callable[..., Awaitable[None]], clock: Clock) -> Handler:
    async def handle(session: AsyncSession, received: Received[Any]) -> None:
        # A table that is filled from events says when things happened: a replay years later gives the same rows.
        now = received.envelope.time if projection.tables else clock()
        await handler(session, received, now)

    return handle
