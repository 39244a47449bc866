"""Time passes: every moment at which something is due is visited in order, and what it causes happens before the next.

One deadline may set another (an escalation starts the clock of the next body) or become an event another service
acts on. So one row is handled at a time, at its own moment, and the events it wrote travel to their end before the
clock goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeVar
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy import text

from shared.messaging.backlog import WAITING_TO_PUBLISH
from shared.messaging.connection import Connection
from shared.messaging.pglog.bus import PgLogBus
from shared.pure.refusal import Refused
from shared.runtime.due_runner import Handled
from shared.runtime.kernel import Kernel

PATIENCE_SECONDS: Final = 60.0
_A_MOMENT: Final = 0.01
Kernels = Mapping[str, Kernel]
T = TypeVar("T")


class SettableClock(Protocol):
    """A clock that can be set to a later moment."""

    def __call__(self) -> datetime: ...

    def set(self, moment: datetime) -> None: ...


@dataclass(frozen=True)
class Happened:
    """One row that was due: when, where and what; `succeeded` is False when it failed and was postponed."""

    at: datetime
    service: str
    kind: str
    subject_id: UUID
    succeeded: bool


async def pass_time(clock: SettableClock, services: Mapping[str, FastAPI], until: datetime) -> list[Happened]:
    """Move the clock to `until`, through all that is due on the way. The services run meanwhile, on one log.

    Refuses `not_at_rest`, with the clock where it came to, when a row stays locked or events do not come to their
    end for a minute.
    """
    kernels: Kernels = {name: app.state.kernel for name, app in services.items()}
    happened: list[Happened] = []
    async with AsyncExitStack() as stack:
        first = {name: await stack.enter_async_context(k.due.one_by_one()) for name, k in kernels.items()}
        rest = await stack.enter_async_context(_Rest.watched(kernels))
        await rest.reached()
        while step := await _patiently(
            _step(clock, kernels, first, until), "something that is due is locked"
        ):
            happened.append(step)
            await rest.reached()
        clock.set(until)
    return happened


async def _step(
    clock: SettableClock,
    kernels: Kernels,
    first: Mapping[str, Callable[[], Awaitable[Handled | None]]],
    until: datetime,
) -> Happened | None:
    """Go to the next moment and handle the one row that is due first; None when there is none up to `until`."""
    while (wake := await _next_wake(kernels)) and wake[0] <= until:
        at, service = wake
        clock.set(max(at, clock()))
        if row := await first[service]():
            return Happened(at, service, row.kind, row.subject_id, row.succeeded)
        await asyncio.sleep(_A_MOMENT)  # somebody holds it, or has just settled it
    return None


async def _next_wake(kernels: Kernels) -> tuple[datetime, str] | None:
    """The next moment at which something is due, and in which service."""
    wakes = [(await kernel.due.next_wake(), name) for name, kernel in kernels.items()]
    return min(((at, name) for at, name in wakes if at is not None), default=None)


class _Rest:
    """Whether every event has been published and handled by everybody who listens."""

    def __init__(self, kernels: Kernels, bus: PgLogBus, connection: Connection) -> None:
        self._kernels = kernels
        self._bus = bus
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def watched(cls, kernels: Kernels) -> AsyncIterator["_Rest"]:
        (bus,) = {kernel.bus for kernel in kernels.values()}
        assert isinstance(bus, PgLogBus)  # the embedded mode has no other
        connection = await bus.connect("clock")
        try:
            yield cls(kernels, bus, connection)
        finally:
            await connection.close(timeout=5)

    async def reached(self) -> None:
        await _patiently(
            self._wait(), "events are still under way (see `concordat dead-letters` and the log)"
        )

    async def _wait(self) -> None:
        while not await self._is_reached():
            await asyncio.sleep(_A_MOMENT)

    async def _is_reached(self) -> bool:
        """In this order: what was unpublished when we looked at the log shows in an outbox, or moves its end."""
        end, unread = await self._bus.progress(self._connection)
        if unread or any([await self._unpublished(kernel) for kernel in self._kernels.values()]):
            return False
        return (await self._bus.progress(self._connection))[0] == end

    async def _unpublished(self, kernel: Kernel) -> int:
        async with kernel.database.system() as session:
            return int((await session.execute(text(WAITING_TO_PUBLISH))).one().events)


async def _patiently(work: Awaitable[T], trouble: str) -> T:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await work
    except TimeoutError:
        message = f"After {PATIENCE_SECONDS:.0f} s {trouble}. The clock stays where it came to."
        raise Refused("not_at_rest", message) from None
