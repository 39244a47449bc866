"""T25: a steady load, faults at random all the time, and afterwards nothing is lost or has grown.

SOAK_MINUTES=n makes it a soak (a few seconds otherwise): so many minutes' commands at RATE a second, however long they
take. SEED=n repeats its faults.
"""

import asyncio
import multiprocessing
import os
import random
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.faults import actors
from tests.support.faults.actors import Setup
from tests.support.faults.checker import check
from tests.support.faults.client import Client, Note
from tests.support.faults.history import History
from tests.support.faults.hooks import STUCK, Hook
from tests.support.faults.notifier import NotifierStage, notifier_stage
from tests.support.faults.processes import Actor, WebActor
from tests.support.faults.proxy import FaultProxy, fault_proxy
from tests.support.faults.stage import Stage, new_stage, port_of, through
from tests.support.faults.usage import measure
from tests.support.patience import PATIENCE, until
from tests.support.postgres import PostgresServer

SECONDS = float(os.environ.get("SOAK_MINUTES") or 0) * 60 or 4.0
RATE = float(os.environ.get("RATE") or 50)
COMMANDS = round(SECONDS * RATE)
WARM_UP = round(max(4.0, min(30.0, SECONDS / 10)) * RATE)
EVENTS_A_SECOND = 4.0
USERS = 60
STEPS = 6
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = ANY($1) AND pid <> pg_backend_pid() AND application_name <> 'fault-test'
     ORDER BY md5(pid::text || $2) LIMIT 2
"""
HOOKS = (
    Hook("customer's desk", "customer"),
    Hook("provider's tickets", "provider", template="servicenow_incident"),
    Hook("the other's desk", "other"),
    Hook("customer's stuck", "customer", STUCK, sick=True),
)


@dataclass
class Scene:
    """Two services and all that hangs on them. The `victims` get killed; the `steady` live on and are measured."""

    notes: Stage
    notifier: NotifierStage
    proxy: FaultProxy
    steady: list[tuple[Actor, Setup]]
    service: WebActor
    victim: WebActor
    relay: Actor

    @property
    def faults(self) -> Mapping[str, Callable[[random.Random], Awaitable[None]]]:
        """T2, T3, T7 and T14."""
        return {
            "SIGKILL service": lambda chance: self.victim.restart(),
            "SIGKILL relay": lambda chance: self.relay.restart(),
            "the bus is away": self._bus_goes_away,
            "pg_terminate_backend": self._backends_end,
        }

    async def _bus_goes_away(self, chance: random.Random) -> None:
        self.proxy.fail(refuse=True)
        self.proxy.reset_all()
        await asyncio.sleep(chance.uniform(0.2, 1.0))
        self.proxy.heal()

    async def _backends_end(self, chance: random.Random) -> None:
        async with self.notes.admin() as connection:
            databases = [self.notes.database, self.notifier.database]
            await connection.execute(TERMINATE, databases, str(chance.random()))

    async def hurt(self, chance: random.Random, work: asyncio.Task[None]) -> None:
        """One fault after the other while the work goes on, each kind as often as every other."""
        while not work.done():
            for name in chance.sample(sorted(self.faults), len(self.faults)):
                self.notes.fault(name)
                await self.faults[name](chance)
                await asyncio.sleep(chance.uniform(0.1, 0.6))

    async def work(self, commands: int) -> None:
        """Commands to the service and events for the notifier, at a steady pace; all are answered when it returns."""
        urls = [self.service.url, self.victim.url]
        events = round(commands * EVENTS_A_SECOND / RATE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.notifier.feeding(events, EVENTS_A_SECOND))
            group.create_task(Crowd(self.notes, urls).work(commands))

    async def measure(self, moment: str) -> None:
        await self.notes.settle()
        await self.notifier.settle()
        await asyncio.sleep(0.5)
        ports = (port_of(self.notes.setup.database_url), self.proxy.port)
        for actor, setup in self.steady:
            await measure(self.notes.history, actor, setup.log, moment, ports)


class Crowd:
    """Users who begin commands at a fixed rate, whether those before are answered or not, while one of them is free."""

    def __init__(self, stage: Stage, urls: list[str]) -> None:
        self._stage, self._urls = stage, urls
        self._idle: asyncio.Queue[tuple[Client, Note | None]] = asyncio.Queue()

    async def work(self, commands: int) -> None:
        """All are answered when it returns."""
        async with AsyncExitStack() as opened, asyncio.TaskGroup() as group:
            for number in range(USERS):
                user = self._stage.client(
                    self._urls[number % len(self._urls)], f"u{number}-{uuid4().hex[:8]}"
                )
                self._idle.put_nowait((await opened.enter_async_context(user), None))
            for _ in range(commands):
                group.create_task(self._command(*await self._idle.get()))
                await asyncio.sleep(1 / RATE)

    async def _command(self, user: Client, note: Note | None) -> None:
        fresh = note is None or note.version > STEPS
        self._idle.put_nowait((user, await (user.create() if fresh or note is None else user.step(note))))


@asynccontextmanager
async def scene(server: PostgresServer, folder: Path, history: History, seed: int) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as opened:
        notes = await opened.enter_async_context(new_stage(server, folder, history, seed))
        proxy = await opened.enter_async_context(fault_proxy(port_of(notes.setup.bus_address)))
        away = through(notes.setup.bus_address, proxy.port)
        own = History(history.path.with_suffix(".notifier.jsonl"), seed)
        opened.callback(own.close)
        notifier = await opened.enter_async_context(
            notifier_stage(server, folder, own, seed, lambda url: through(url, proxy.port))
        )
        await notifier.add(*HOOKS)
        setup = replace(notes.setup, bus_address=away)
        service = await notes.service(setup=setup)
        consumer = notes.consumer(notes.groups[1], bus_address=away)
        yield Scene(
            notes=notes,
            notifier=notifier,
            proxy=proxy,
            steady=[(service, setup), (consumer, setup), (notifier.process, notifier.setup)],
            service=service,
            victim=await notes.service(background=False),
            relay=notes.relay(bus_address=away),
        )
    for kept in (own.path, own.path.with_suffix(".log")):
        kept.unlink()


async def test_soak(postgres: PostgresServer, issuer_folder: Path, history: History, seed: int) -> None:
    """All invariants, I14 among them, under random faults; what is measured is warm, and rests afterwards."""
    async with scene(postgres, issuer_folder, history, seed) as playing:
        await playing.work(WARM_UP)
        await playing.measure("warm")
        working = asyncio.create_task(playing.work(COMMANDS))
        await playing.hurt(random.Random(seed), working)
        await working
        await playing.work(WARM_UP)
        await playing.measure("after")
        await playing.notes.verdict()
        await playing.notifier.verdict()
        suffered = {fault["name"] for fault in history.of("fault")}
        assert suffered == playing.faults.keys()
    acknowledged = {answer["key"] for answer in history.of("ok")}
    assert len(acknowledged) == WARM_UP + COMMANDS + WARM_UP


def leak(setup: Setup, ready: Event, go: Event, done: Event) -> None:
    """Takes memory, files, threads and tasks when it may go, and gives nothing back."""
    actors.prepare(setup)

    async def work() -> None:
        held: list[object] = []
        ready.set()
        await until(go.is_set)
        held += [bytearray(random.randbytes(1024)) * 40_000]
        held += [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
        held += [asyncio.create_task(asyncio.sleep(PATIENCE)) for _ in range(40)]
        for _ in range(20):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        done.set()
        await asyncio.sleep(PATIENCE)

    asyncio.run(work())


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files as Linux does")
async def test_a_process_that_keeps_what_it_takes_is_noticed(log_stage: Stage) -> None:
    """I14 can fail: measured as the services are."""
    stage = log_stage
    ready, go, done = (multiprocessing.get_context("forkserver").Event() for _ in range(3))
    leaking = Actor("leaking", leak, stage.setup, ready, go, done)
    stage.actors.append(leaking)
    await until(ready.is_set)
    await measure(stage.history, leaking, stage.setup.log, "warm", ())
    go.set()
    await until(done.is_set)
    await measure(stage.history, leaking, stage.setup.log, "after", ())
    named = [str(violation).rpartition(" ")[2] for violation in check(stage.history.records)]
    assert named == ["rss_mb", "threads", "fds", "tasks"]
