"""A tiny service of one table for the messaging tests: accounts that count their deposits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy import MetaData, NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from shared.contracts.base import Event, Received, Registry, Scope
from shared.data.tables import NAMING
from shared.data.tables.messaging import messaging_tables
from shared.messaging.bus import Delivered, Handle, Outgoing
from shared.messaging.outbox import publish
from shared.messaging.pglog.bus import PgLogBus
from tests.support.harness import schema_fingerprint
from tests.support.patience import PATIENCE
from tests.support.postgres import PostgresServer

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOPIC = "concordat.test"
ACCOUNTS = (
    "CREATE TABLE account (id uuid PRIMARY KEY, version bigint NOT NULL, note text)",
    "CREATE TABLE effect (n bigint GENERATED ALWAYS AS IDENTITY, account uuid NOT NULL, amount int NOT NULL)",
)


class Deposited(Event):
    TYPE: ClassVar[str] = "org.concordat.test.account.deposited.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "account"

    amount: int
    note: str = ""


class Closed(Event):
    TYPE: ClassVar[str] = "org.concordat.test.account.closed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "account"


def registry() -> Registry:
    known = Registry()
    known.register(Deposited, Closed)
    return known


async def apply_deposit(session: AsyncSession, received: Received[Deposited]) -> None:
    await session.execute(
        text("INSERT INTO effect (account, amount) VALUES (:account, :amount)"),
        {"account": received.envelope.subject, "amount": received.event.amount},
    )


@dataclass
class Service:
    """The database of the tiny service; `sessions` is what `Database.system` is to the real ones."""

    url: str

    def __post_init__(self) -> None:
        self.engine = create_async_engine(
            self.url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=15, pool_pre_ping=False
        )

    @contextlib.asynccontextmanager
    async def sessions(self) -> AsyncIterator[AsyncSession]:
        async with (
            AsyncSession(self.engine, expire_on_commit=False, autoflush=False) as session,
            session.begin(),
        ):
            yield session

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()

    async def empty(self) -> None:
        """As if nothing had happened yet."""
        tables = "event, outbox, inbox, consumed_version, dead_letter, parked_key, account, effect, bus.bus_event, bus.bus_group"
        await self.fetch(f"TRUNCATE {tables} RESTART IDENTITY")

    async def open_account(self, *, account_id: UUID | None = None) -> UUID:
        account_id = account_id or uuid4()
        await self.fetch("INSERT INTO account (id, version) VALUES ($1, 0)", account_id)
        return account_id

    async def deposit(self, account: UUID, amount: int, *, pause: float = 0.0, fail: bool = False) -> None:
        async with self.sessions() as session:
            version = await session.scalar(
                text("UPDATE account SET version = version + 1 WHERE id = :id RETURNING version"),
                {"id": account},
            )
            await publish(session, Deposited(amount=amount), **context(account, version))
            await asyncio.sleep(pause)
            if fail:
                raise RolledBack

    async def effects(self, account: UUID | None = None) -> list[int]:
        rows = await self.fetch(
            "SELECT amount FROM effect WHERE $1::uuid IS NULL OR account = $1 ORDER BY n", account
        )
        return [row["amount"] for row in rows]


class RolledBack(Exception):
    pass


def context(account: UUID, version: int) -> dict[str, Any]:
    return {
        "aggregate_id": account,
        "version": version,
        "scope": Scope(),
        "source": "/services/test",
        "now": NOW,
    }


@contextlib.asynccontextmanager
async def new_service(server: PostgresServer) -> AsyncIterator[Service]:
    async def build(url: str) -> None:
        tables = MetaData(naming_convention=NAMING)
        messaging_tables(tables)
        engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://"), poolclass=NullPool
        )
        async with engine.begin() as connection:
            await connection.run_sync(tables.create_all)
            for statement in ACCOUNTS:
                await connection.execute(text(statement))
        await PgLogBus(url).install()

    template = await server.template(f"tmpl_messaging_{schema_fingerprint(*ACCOUNTS)}", build)
    async with server.database("messaging", template=template) as url:
        service = Service(url)
        yield service
        await service.engine.dispose()


class Recording:
    """A bus that keeps what was published, in order, and fails when told to."""

    def __init__(self, failures: Sequence[str] = ()) -> None:
        self.published: list[Outgoing] = []
        self.producers = 0
        self._failures = list(failures)

    async def producer(self) -> "Recording":
        self.producers += 1
        if self._failures and self._failures[0] == "connect":
            self._failures.pop(0)
            raise ConnectionRefusedError("no broker")
        return self

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        failure = self._failures.pop(0) if self._failures else ""
        if failure == "before":
            raise ConnectionResetError("broker went away, nothing was taken")
        if failure == "half":
            self.published += batch[: len(batch) // 2]
            raise ConnectionResetError("broker went away in the middle")
        if failure == "hang":
            self.published += batch
            await asyncio.sleep(3600)
        self.published += batch
        if failure == "after":
            raise TimeoutError("the acknowledgement got lost")

    async def close(self) -> None:
        return None

    def consumer(self, group: str, topics: Any, handle: Handle) -> Any:
        raise NotImplementedError

    async def rewind(self, group: str, topic: str, offsets: Any = None) -> None:
        raise NotImplementedError

    async def missing_topics(self, topics: Any) -> set[str]:
        return set()


class OneByOne:
    """A bus that delivers exactly the messages a test hands it, repeating what asks to be retried."""

    def __init__(self) -> None:
        self.handle: Handle | None = None
        self.retries = 0
        self.healthy = True

    def consumer(self, group: str, topics: Any, handle: Handle) -> "OneByOne":
        self.handle = handle
        return self

    async def deliver(self, message: Delivered) -> None:
        assert self.handle is not None
        await self.handle(message)

    async def producer(self) -> Any:
        raise NotImplementedError

    async def rewind(self, group: str, topic: str, offsets: Any = None) -> None:
        raise NotImplementedError

    async def missing_topics(self, topics: Any) -> set[str]:
        return set()

    async def run(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError


@contextlib.asynccontextmanager
async def running(thing: Any) -> AsyncIterator[Any]:
    """`thing.run()` in the background, stopped politely at the end of the block."""
    task = asyncio.create_task(thing.run())
    try:
        yield thing
    finally:
        await thing.stop()
        async with asyncio.timeout(PATIENCE):
            await task


async def kill(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
