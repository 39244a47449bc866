"""The database crashes, hangs up, or is out of reach: commands wait or are refused, none is lost or doubled."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from concordat.embedded.postgres import EmbeddedPostgres
from tests.support.faults.history import History, rounds
from tests.support.faults.proxy import fault_proxy
from tests.support.faults.stage import Stage, new_stage, port_of, through
from tests.support.patience import until
from tests.support.postgres import PostgresServer

CRASHES = 2
UNLUCKY = 3
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'fault-test'
     ORDER BY md5(pid::text || $1) LIMIT $2
"""


class Crashing:
    """A durable server of this test's own, whose postmaster can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = EmbeddedPostgres(folder, durable=True)
        self._server.start()
        self.admin_url = self._server.url("postgres")

    def crash(self) -> None:
        """SIGKILL the postmaster; its children notice and die."""
        postmaster = int((self._server.pgdata / "postmaster.pid").read_text().splitlines()[0])
        psutil.Process(postmaster).send_signal(signal.SIGKILL)

    def recover(self) -> None:
        """Start it again on the same port; it replays its log."""
        old = self._server
        self._server = EmbeddedPostgres(self._folder, port=old.port, durable=True)
        old.stop()
        self._server.start()

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
async def crashing(tmp_path: Path) -> AsyncIterator[Crashing]:
    server = await asyncio.to_thread(Crashing, tmp_path / "postgres")
    yield server
    await asyncio.to_thread(server.stop)


async def test_the_server_crashes_under_load(
    crashing: Crashing, issuer_folder: Path, history: History, seed: int
) -> None:
    """T13: SIGKILL of the postmaster; what was acknowledged survives the recovery."""
    server = PostgresServer(crashing.admin_url)
    async with new_stage(server, issuer_folder, history, seed) as stage:
        chance = stage.chance
        service = await stage.service()
        stage.consumers(stage.groups[1])
        async with stage.load(service.url, clients=6):
            for _ in range(rounds(CRASHES)):
                await asyncio.sleep(chance.uniform(0.5, 1.0))
                stage.fault("SIGKILL postmaster")
                crashing.crash()
                await asyncio.sleep(chance.uniform(0.1, 0.5))
                await asyncio.to_thread(crashing.recover)
            await asyncio.sleep(1)
        await stage.settle()
        await stage.verdict()
        assert service.exit_code is None, "the service did not survive the crash"


async def test_random_connections_are_terminated(stage: Stage) -> None:
    """T14: pg_terminate_backend on whatever is connected, again and again."""
    service = await stage.service()
    stage.consumers(stage.groups[1])
    chance = stage.chance
    async with stage.load(service.url, clients=6), stage.admin() as connection:
        await asyncio.sleep(0.5)
        stage.fault("pg_terminate_backend")
        for n in range(rounds(18)):
            await connection.execute(TERMINATE, str(n), chance.randint(1, 3))
            await asyncio.sleep(0.2)
    await stage.settle()
    await stage.verdict()


@pytest.mark.parametrize("kind", ["refuse", "half_open"])
async def test_the_server_is_out_of_reach(log_stage: Stage, kind: str) -> None:
    """T15: everybody is told 503 with Retry-After while the server is away, and all is well again after healing."""
    stage = log_stage
    stage.relay()
    stage.consumers()
    async with fault_proxy(port_of(stage.setup.database_url)) as proxy:
        away = replace(stage.setup, database_url=through(stage.setup.database_url, proxy.port))
        service = await stage.service(setup=away, background=False)
        await burst(stage, service.url, "before")
        stage.fault(kind)
        proxy.fail(**{kind: True})
        if kind == "refuse":
            proxy.reset_all()
        async with stage.client(service.url, "unlucky") as unlucky, asyncio.TaskGroup() as group:
            for n in range(UNLUCKY):
                group.create_task(unlucky.create(f"unlucky-{n}"))
            await until(lambda: len({answer["key"] for answer in stage.history.of("info")}) == UNLUCKY)
            proxy.heal()
            await burst(stage, service.url, "after")
    await stage.settle()
    await stage.verdict()
    assert {answer.get("status") for answer in stage.history.of("info")} == {503}, "somebody got no answer"


async def burst(stage: Stage, url: str, name: str) -> None:
    """More requests at once than the service has connections, so that it uses every one it holds."""
    client = stage.client(url, name)
    await asyncio.gather(*(client.create() for _ in range(20)))
    await client.close()


async def test_a_writing_transaction_that_stays_open_delays_no_event(stage: Stage) -> None:
    """T16: readers that wait for the oldest transaction of the server would stand still; ours must not."""
    service = await stage.service()
    stage.consumers(stage.groups[1])
    async with stage.admin() as connection, connection.transaction():
        await connection.execute("SELECT pg_current_xact_id()")
        await connection.execute("INSERT INTO obstacle VALUES ('none')")
        async with stage.load(service.url, clients=4):
            await asyncio.sleep(3)
        assert not await stage.settle(), "events wait for a transaction that has nothing to do with them"
        assert await connection.fetchval("SELECT txid_current_if_assigned() IS NOT NULL")
    await stage.verdict()
