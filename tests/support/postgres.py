"""Databases for tests: on the server of TEST_DATABASE_URL, else on one embedded server all workers share."""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from concordat.embedded.postgres import EmbeddedPostgres

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "test-postgres"


@dataclass(frozen=True)
class PostgresServer:
    """A server on which tests make and drop databases."""

    admin_url: str

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """The URL of a database; without `user` as the administrator."""
        parts = urlsplit(self.admin_url)
        credentials, _, address = parts.netloc.rpartition("@")
        credentials = credentials if user is None else f"{user}:{password}" if password else user
        return urlunsplit(parts._replace(netloc=f"{credentials}@{address}", path=f"/{database}"))

    async def create_database(self, name: str, template: str | None = None) -> str:
        """Create an empty database, or a copy of a template nobody is connected to; returns its URL."""
        source = f" TEMPLATE {_identifier(template)}" if template else ""
        await self.execute(f"CREATE DATABASE {_identifier(name)}{source}")
        return self.url(name)

    async def drop_database(self, name: str) -> None:
        await self.execute(f"DROP DATABASE IF EXISTS {_identifier(name)} WITH (FORCE)")

    @asynccontextmanager
    async def database(self, prefix: str = "test", template: str | None = None) -> AsyncIterator[str]:
        """A database of its own for the duration of the block; yields its URL."""
        name = f"{prefix}_{uuid4().hex[:12]}"
        yield await self.create_database(name, template)
        await self.drop_database(name)

    async def template(self, name: str, build: Callable[[str], Awaitable[None]]) -> str:
        """Build the template database `name` once for all workers, by `build(url)`; returns `name`.

        `build` must leave no connection open. Put whatever the content depends on into the name.
        """
        admin = await asyncpg.connect(self.admin_url)
        try:
            await admin.execute("SELECT pg_advisory_lock(hashtext($1))", name)
            if not await admin.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", name):
                await self.drop_database(name)
                await build(await self.create_database(name))
                await admin.execute(f"ALTER DATABASE {_identifier(name)} IS_TEMPLATE true")
        finally:
            await admin.close()
        return name

    async def execute(self, sql: str) -> None:
        """Run one statement as the administrator, outside a transaction."""
        admin = await asyncpg.connect(self.admin_url)
        try:
            await admin.execute(sql)
        finally:
            await admin.close()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """The server of this test session. The embedded one starts with its first user and stops with its last."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield PostgresServer(given)
        return
    with EmbeddedPostgres(CACHE, durable=False) as embedded:
        yield PostgresServer(embedded.url("postgres"))


def _identifier(name: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name):
        raise ValueError(f"not a plain database name: {name!r}")
    return name
