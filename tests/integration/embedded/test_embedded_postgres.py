"""The server from the wheel keeps what was committed, whoever is killed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from concordat.embedded.postgres import EmbeddedPostgres, EmbeddedPostgresError


@pytest.fixture
def folder() -> Iterator[Path]:
    """Outside pytest's own temporary folder, which every other run closes to the server's account again."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


WRITE_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
import asyncpg
from concordat.embedded.postgres import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()

async def write() -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

asyncio.run(write())
print(int((server.pgdata / "postmaster.pid").read_text().split()[0]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


async def value(server: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(server.url("postgres"))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def write_and_die(folder: Path) -> int:
    """A process writes, then kills itself; returns the process id of the server it left behind."""
    died = subprocess.run(
        [sys.executable, "-c", WRITE_AND_DIE, str(folder)], capture_output=True, text=True, check=False
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    return int(died.stdout)


async def test_what_was_committed_survives_the_kill_of_everything(folder: Path) -> None:
    os.kill(write_and_die(folder), signal.SIGKILL)
    with EmbeddedPostgres(folder) as server:
        assert await value(server, "SELECT answer FROM kept") == 42
        assert await value(server, "SHOW fsync") == "on"


async def test_processes_share_a_server_and_the_last_one_stops_it(folder: Path) -> None:
    first, second = (EmbeddedPostgres(folder, durable=False) for _ in range(2))
    first.start()
    second.start()
    assert first.port == second.port
    first.stop()
    assert await value(second, "SELECT 1") == 1
    second.stop()
    with pytest.raises(OSError):
        await value(second, "SELECT 1")


async def test_a_pid_file_that_names_another_program_is_no_obstacle(folder: Path) -> None:
    with EmbeddedPostgres(folder) as server:
        await value(server, "CREATE TABLE kept AS SELECT 7 AS answer")
        lines = (server.pgdata / "postmaster.pid").read_text().splitlines()
    (server.pgdata / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with EmbeddedPostgres(folder) as again:
        assert await value(again, "SELECT answer FROM kept") == 7


async def test_without_the_secret_nobody_gets_in(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as server:
        assert oct((folder / "secret").stat().st_mode)[-3:] == "600"
        for host in ("127.0.0.1", str(server.socket_dir)):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(host=host, port=server.port, user="postgres", password="guess")


def test_a_port_other_than_the_running_one_is_refused(folder: Path) -> None:
    with EmbeddedPostgres(folder, durable=False) as server:
        other = EmbeddedPostgres(folder, port=server.port + 1, durable=False)
        with pytest.raises(EmbeddedPostgresError, match="already listens"):
            other.start()
