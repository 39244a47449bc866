"""Where measurements happen: a private, durable PostgreSQL with migrated schemas, seeded people and charters,
and servers started beside it as they run in production, one worker each."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from bench import peers
from bench.load import CONNECTIONS
from concordat.embedded import server as embedded
from shared.data import directory, migrations
from shared.data.ids import uuid7
from shared.data.session import Database
from tests.support.world import World

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
CHARTERS = 8


@dataclass(frozen=True)
class Stage:
    """The database, its seeded world and the charters requests are spread over."""

    ready: embedded.Platform
    world: World
    charters: Sequence[UUID]

    @property
    def admin_url(self) -> str:
        return self.ready.admin_url

    def headers(self, member: str) -> dict[str, str]:
        """The headers of a caller such as `customer.om_team`."""
        token = self.ready.issuer.token(member, datetime.now(UTC))
        return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def environment(self, service: str, *, background: bool) -> dict[str, str]:
        """The environment of `concordat run <service>` on this database."""
        return {
            "CONCORDAT_ENVIRONMENT": "embedded",
            "CONCORDAT_BUS": "pglog",
            "CONCORDAT_BUS_DATABASE_URL": self.ready.url(migrations.BUS_ROLE),
            "CONCORDAT_ISSUERS": json.dumps([self.ready.issuer.settings.model_dump(mode="json")]),
            "CONCORDAT_LOG_LEVEL": "warning",
            "CONCORDAT_POOL_SIZE": str(CONNECTIONS),
            "CONCORDAT_BACKGROUND": str(background).lower(),
            f"{service.upper()}_DATABASE_URL": self.ready.url(migrations.runtime_role(service)),
        }

    @contextmanager
    def service(
        self, service: str, *, background: bool = False, settings: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator["Server"]:
        """A service of ours as production runs it."""
        command = ["-m", "concordat", "run", service, "--port"]
        chosen = self.environment(service, background=background) | dict(settings)
        with serving(command, chosen, f"/{service}/readyz") as server:
            yield server

    @contextmanager
    def peer(self, factory: str) -> Iterator["Server"]:
        """An application of `bench.peers` under the same server settings."""
        options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
        command = ["-m", "uvicorn", f"bench.peers:{factory}", "--factory", *options, "--port"]
        with serving(command, {"PEER_DATABASE_URL": self.admin_url}, "/readyz") as server:
            yield server

    @contextmanager
    def django_peer(self, python: Path) -> Iterator["Server"]:
        """The Django peer under gunicorn: one process, a thread and a kept database connection for each of ours."""
        options = [
            "--workers",
            "1",
            "--threads",
            str(CONNECTIONS),
            "--keep-alive",
            "60",
            "--log-level",
            "warning",
        ]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as rows:
            rows.write(asyncio.run(self._described()))
            rows.flush()
            settings = {"PEER_DATABASE_URL": self.admin_url, "PEER_ROWS": rows.name}
            command = ["-m", "gunicorn", *options, "bench.django_peer:application", "--bind"]
            with serving(command, settings, "/readyz", python=python, place="127.0.0.1:{}") as server:
                yield server

    async def _described(self) -> str:
        connection = await asyncpg.connect(self.admin_url)
        await peers.with_json(connection)
        described = await peers.described(connection)
        await connection.close()
        return described

    def execute(self, *statements: str) -> None:
        """Run statements as the administrator."""

        async def run() -> None:
            connection = await asyncpg.connect(self.admin_url)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(run())

    def fetch(self, query: str, *values: object) -> list[Mapping[str, Any]]:
        """The rows of a query as the administrator sees them."""

        async def run() -> list[Mapping[str, Any]]:
            connection = await asyncpg.connect(self.admin_url)
            rows = await connection.fetch(query, *values)
            await connection.close()
            return [dict(row) for row in rows]

        return asyncio.run(run())


@contextmanager
def stage(service: str) -> Iterator[Stage]:
    """A fresh stage on which `service` knows eight charters between the same two parties."""
    with (
        tempfile.TemporaryDirectory(prefix="concordat-bench-") as folder,
        embedded.platform(Path(folder), None, "http://127.0.0.1") as ready,
    ):
        world = World()
        charters = new_charters(world)
        asyncio.run(seed(ready, service, world, charters))
        yield Stage(ready, world, charters)


def new_charters(world: World) -> list[UUID]:
    """Eight charters to spread requests over: numbers are counted per charter, one request at a time."""
    return [world.charter_id, *(uuid7() for _ in range(CHARTERS - 1))]


async def seed(ready: embedded.Platform, service: str, world: World, charters: Sequence[UUID]) -> None:
    """Tell a service who exists, and that these charters govern."""
    database = Database(ready.url(migrations.runtime_role(service)), service)
    async with database.system() as session:
        await world.seed(session)
        for charter_id in charters[1:]:
            activated = world.activation().model_copy(update={"charter_id": charter_id})
            await directory.keep_activated(session, activated)
    await database.close()


@dataclass(frozen=True)
class Server:
    """A server under load: where it listens, and the process whose CPU time is counted."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    command: Sequence[str],
    settings: Mapping[str, str],
    ready_path: str,
    *,
    python: str | Path = sys.executable,
    place: str = "{}",
) -> Iterator[Server]:
    """A Python server in a process of its own, from ready to stopped. Its command ends with a free port, as in `place`."""
    port = free_port()
    process = subprocess.Popen(  # noqa: S603 - our own programs
        [python, *command, place.format(port)], env=os.environ | dict(settings), cwd=ROOT
    )
    try:
        until_ready(process, f"http://127.0.0.1:{port}{ready_path}")
        yield Server(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def until_ready(process: "subprocess.Popen[bytes]", url: str) -> float:
    """Wait for the first 200; seconds it took."""
    started = time.perf_counter()
    while time.perf_counter() - started < START_SECONDS:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            if httpx.get(url, timeout=2, trust_env=False).status_code == httpx.codes.OK:
                return time.perf_counter() - started
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"{url} was not ready within {START_SECONDS} s")
