"""A service does not start on a schema that lacks what it needs, and says which command brings it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from concordat.embedded.server import platform
from services import registry
from services.registry import SERVICES
from shared.data import migrations
from tests.support.harness import PASSWORD, running, template_database
from tests.support.postgres import PostgresServer

STAMP = "UPDATE alembic_version SET version_num = '{}'"
OLD = {
    "no migration was run": ("DROP TABLE alembic_version", "charter_0001"),
    "the kernel's alone was run": (STAMP.format("kernel_0001"), "charter_0001"),
    "a column is missing": ("ALTER TABLE organization DROP COLUMN aid", "the column organization.aid"),
    "a table is missing": ("DROP TABLE signature", "the table signature"),
}


@pytest.fixture
async def database(postgres: PostgresServer) -> AsyncIterator[str]:
    """The name of a database with every schema at its newest revision."""
    async with postgres.database("old", await template_database(postgres)) as url:
        yield url.rpartition("/")[2]


async def as_owner(postgres: PostgresServer, database: str, statement: str) -> None:
    url = postgres.url(database, migrations.owner_role("charter"), PASSWORD)
    await _execute(url, "charter", statement)


async def _execute(url: str, schema: str, statement: str) -> None:
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    await connection.execute(statement)
    await connection.close()


async def check(postgres: PostgresServer, database: str) -> None:
    url = postgres.url(database, migrations.runtime_role("charter"), PASSWORD)
    connection = await asyncpg.connect(url, server_settings={"search_path": "charter"})
    try:
        await registry.refuse_old_schema("charter", connection)
    finally:
        await connection.close()


@pytest.mark.parametrize("case", OLD)
async def test_an_old_schema_is_refused_by_name(postgres: PostgresServer, database: str, case: str) -> None:
    change, lacking = OLD[case]
    await as_owner(postgres, database, change)
    with pytest.raises(migrations.OldSchema, match="run `concordat migrate`") as refused:
        await check(postgres, database)
    assert lacking in str(refused.value)


async def test_a_schema_that_a_later_version_migrated_is_accepted(
    postgres: PostgresServer, database: str
) -> None:
    await as_owner(postgres, database, STAMP.format("charter_0002"))
    await check(postgres, database)


async def test_a_service_does_not_start_on_an_old_schema(postgres: PostgresServer, tmp_path: Path) -> None:
    async def break_it(database: str) -> None:
        await as_owner(postgres, database, "ALTER TABLE charter DROP COLUMN title")

    with pytest.raises(migrations.OldSchema, match=r"column charter\.title"):
        async with running("charter", postgres, tmp_path, prepare=break_it):
            pytest.fail("it started")


@pytest.mark.parametrize("stamp", ["0001", "0002"])
async def test_a_schema_from_before_the_first_release_is_not_upgraded(
    postgres: PostgresServer, database: str, stamp: str
) -> None:
    await as_owner(postgres, database, STAMP.format(stamp))
    owner = postgres.url(database, migrations.owner_role("charter"), PASSWORD)
    with pytest.raises(migrations.UnknownSchema, match=f"revision {stamp}"):
        await asyncio.to_thread(registry.upgrade, "charter", owner)


def test_the_embedded_mode_says_what_to_do_with_an_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with platform(folder, None, "http://127.0.0.1") as ready:
        asyncio.run(_execute(ready.url(migrations.owner_role("sla")), "sla", STAMP.format("0002")))
    command = [sys.executable, "-m", "concordat", "run", "embedded", "--data", str(folder), "--port", "8931"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "400"}
    )
    assert ended.returncode == 1
    assert f"make run DATA={folder}-new" in ended.stderr
    assert f"rm -r {folder}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_role_that_is_new_since_a_folder_was_made_gets_a_password(tmp_path: Path) -> None:
    with platform(tmp_path, None, "http://127.0.0.1") as ready:
        known = dict(ready.passwords)
    kept = json.loads((tmp_path / "secrets.json").read_text())
    del kept["passwords"][migrations.BUS_ROLE]
    (tmp_path / "secrets.json").write_text(json.dumps(kept))
    with platform(tmp_path, None, "http://127.0.0.1") as ready:
        asyncio.run(_execute(ready.url(migrations.BUS_ROLE), "bus", "SELECT 1"))
        assert ready.passwords[migrations.BUS_ROLE] != known.pop(migrations.BUS_ROLE)
        assert known.items() <= ready.passwords.items()


def test_every_service_has_a_branch_of_its_own() -> None:
    """The revisions of two services never share a name: each is found by its own alone."""
    first = [registry.versions_of(service) / f"0001_{service}.py" for service in SERVICES]
    assert all(f'revision = "{path.stem[5:]}_0001"' in path.read_text() for path in first)
