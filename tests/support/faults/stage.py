"""Where a scenario plays: a fresh database, a bus, a world to act for, processes to hurt, and the verdict."""

import asyncio
import contextlib
import itertools
import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from concordat.embedded.issuer import DevelopmentIssuer
from shared.data import migrations
from shared.data.migrations import govern
from shared.data.session import Database
from shared.messaging.kafka.bus import ensure_topics
from shared.runtime.clock import system_clock
from tests.support.faults import actors
from tests.support.faults.actors import Setup
from tests.support.faults.checker import check, shown
from tests.support.faults.client import Client
from tests.support.faults.findings import Message, messages_on_the_bus, waiting, write_findings
from tests.support.faults.history import History
from tests.support.faults.processes import Actor, WebActor
from tests.support.faults.service import TABLES
from tests.support.harness import PASSWORD, schema_fingerprint
from tests.support.patience import PATIENCE, Patience
from tests.support.postgres import PostgresServer
from tests.support.world import World

GROUPS: Final = ("ledger", "mail")


@dataclass
class Stage:
    """One scenario's place. Actors that still run at its end are killed."""

    server: PostgresServer
    database: str
    setup: Setup
    world: World
    issuer: DevelopmentIssuer
    history: History
    seed: int
    groups: tuple[str, ...] = GROUPS
    actors: list[Actor] = field(default_factory=list)
    _clients: Iterator[int] = field(default_factory=itertools.count)

    @property
    def chance(self) -> random.Random:
        """A fresh source of the run's random choices."""
        return random.Random(self.seed)

    @property
    def admin_url(self) -> str:
        return self.server.url(self.database)

    async def service(
        self, *, background: bool = True, setup: Setup | None = None, port: int | None = None
    ) -> WebActor:
        """The HTTP service, with relay, timers and the first group's consumer inside unless told otherwise."""
        made = WebActor("service", port, actors.serve, setup or self.setup, self.groups[0], background)
        self.actors.append(made)
        await made.answers()
        return made

    async def survive(self, make: Callable[[str | None], Actor], point: str, deaths: int) -> None:
        """Let an actor die at a fail point several times, at a random hit each, then run on unharmed."""
        chance = self.chance
        for _ in range(deaths):
            dying = make(f"{point}:{chance.randint(1, 8)}")
            assert await dying.ended() == -signal.SIGKILL, f"{dying.name} did not reach {point}"
            self.fault(f"died at {point}")
        make(None)

    def relay(self, **changes: Any) -> Actor:
        """A stand-alone relay; `changes` alter its Setup."""
        return self._started("relay", actors.relay, replace(self.setup, **changes))

    def consumer(self, group: str, **changes: Any) -> Actor:
        return self._started(group, actors.consume, replace(self.setup, **changes), group)

    def consumers(self, *groups: str) -> list[Actor]:
        """One member for each group, of all groups when none is named."""
        return [self.consumer(group) for group in groups or self.groups]

    def _started(self, name: str, target: Callable[..., None], *args: object) -> Actor:
        made = Actor(name, target, *args)
        self.actors.append(made)
        return made

    def client(self, url: str, name: str, **settings: Any) -> Client:
        """A client who acts as a member of the customer's O&M team."""
        token = self.issuer.token("customer.om_team", system_clock())
        return Client(self.history, url, token, str(self.world.charter_id), name, **settings)

    @asynccontextmanager
    async def load(self, url: str, clients: int, **settings: Any) -> AsyncIterator["Load"]:
        """Clients at work in the background; at the end of the block they finish what they began."""
        load = Load()
        async with contextlib.AsyncExitStack() as opened:
            crowd = [
                await opened.enter_async_context(self.client(url, f"c{next(self._clients)}", **settings))
                for _ in range(clients)
            ]
            async with asyncio.TaskGroup() as group:
                for n, client in enumerate(crowd):
                    working = client.work(random.Random(self.seed + n), lambda: load.is_on)
                    load.tasks.append(group.create_task(working))
                try:
                    yield load
                finally:
                    load.is_on = False

    def fault(self, name: str) -> None:
        """Note that from now on the service may be unavailable."""
        self.history.note("fault", name=name)

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        """Ask the scenario's database as its administrator."""
        async with self.admin() as connection:
            return list(await connection.fetch(sql, *args))

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            self.admin_url, server_settings={"search_path": "changes", "application_name": "fault-test"}
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=PATIENCE)

    async def settle(self) -> int:
        """Wait until every event reached every group; returns and notes how many never did."""
        patience = Patience()
        async with self.admin() as connection:
            while (left := await waiting(connection, self.groups)) and patience.is_left:
                await asyncio.sleep(0.05)
        self.history.note("settled", waiting=left)
        return left

    async def verdict(self, messages: AsyncIterator[Message] | None = None) -> None:
        """Collect what is there and fail with every violation the checker names. `messages` stand for the bus."""
        for group in self.groups:
            self.history.note("group", name=group)
        async with self.admin() as connection:
            await write_findings(self.history, connection, messages or messages_on_the_bus(self.setup))
        violations = check(self.history.records)
        assert not violations, shown(violations)
        assert self.history.of("ok"), "nothing was acknowledged, so nothing was proven"


@dataclass
class Load:
    """Clients at work."""

    is_on: bool = True
    tasks: "list[asyncio.Task[int]]" = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """Commands acknowledged by clients that have finished."""
        return sum(task.result() for task in self.tasks if task.done())


class _Statements:
    """Collects what a migration helper would run."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def execute(self, sqltext: str) -> None:
        self.all.append(sqltext)


def _schema() -> list[str]:
    """What the toy's service has beside the kernel's tables."""
    statements = _Statements()
    statements.all += TABLES
    govern(statements, "note")
    return statements.all


async def _template(server: PostgresServer) -> str:
    """A database with the schema of the service that gets hurt, and the bus."""
    schema = _schema()

    async def build(url: str) -> None:
        service = "changes"
        names = migrations.role_names((service,))
        await migrations.provision(url, dict.fromkeys(names, PASSWORD), [service])
        owner = server.url(url.rpartition("/")[2], migrations.owner_role(service), PASSWORD)
        await asyncio.to_thread(migrations.upgrade, service, owner)
        connection = await asyncpg.connect(owner, server_settings={"search_path": service})
        for statement in schema:
            await connection.execute(statement)
        await connection.close()

    return await server.template(f"tmpl_faults_{schema_fingerprint(*schema)}", build)


@asynccontextmanager
async def new_stage(
    server: PostgresServer, folder: Path, history: History, seed: int, kafka: str | None = None
) -> AsyncIterator[Stage]:
    """A stage on a fresh database; with `kafka`, the bootstrap address, on a topic of its own there."""
    name = f"faults_{uuid4().hex[:12]}"
    await server.create_database(name, await _template(server))
    issuer = DevelopmentIssuer.in_folder(folder)
    topic = f"concordat.faults.{uuid4().hex[:12]}"
    if kafka:
        await ensure_topics(kafka, [topic], partitions=4, replication=min(3, kafka.count(",") + 1))
    setup = Setup(
        database_url=server.url(name, migrations.runtime_role("changes"), PASSWORD),
        bus="kafka" if kafka else "pglog",
        bus_address=kafka or server.url(name, migrations.BUS_ROLE, PASSWORD),
        topic=topic,
        issuers=(issuer.settings,),
        log=history.path.with_suffix(".log"),
    )
    groups = tuple(f"{group}-{name}" for group in GROUPS) if kafka else GROUPS
    stage = Stage(server, name, setup, World(), issuer, history, seed, groups)
    await _seed(stage)
    try:
        yield stage
    finally:
        await asyncio.gather(*(actor.kill() for actor in stage.actors))
        await server.drop_database(name)


async def _seed(stage: Stage) -> None:
    database = Database(stage.setup.database_url, "changes", pool_size=1)
    async with database.system() as session:
        await stage.world.seed(session)
    await database.close()


def through(url: str, port: int) -> str:
    """The same database, reached through the proxy on a port."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{port}"))


def port_of(url: str) -> int:
    return urlsplit(url).port or 5432
