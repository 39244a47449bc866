"""The toy service: one table, and the routes a test adds."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import asyncpg
import pytest
from fastapi import APIRouter

from shared.data import migrations
from shared.data.migrations import govern
from tests.conftest import StartService
from tests.support import toy_service
from tests.support.harness import PASSWORD, RunningService
from tests.support.postgres import PostgresServer

StartToy = Callable[..., AbstractAsyncContextManager[RunningService]]


class _Collected:
    """Collects the statements a migration helper would run."""

    def __init__(self) -> None:
        self.statements = [
            toy_service.TABLE,
            "CREATE TABLE doom (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        ]

    def execute(self, sqltext: str) -> None:
        self.statements.append(sqltext)


async def _prepare(postgres: PostgresServer, database: str) -> None:
    owner = postgres.url(database, migrations.owner_role("changes"), PASSWORD)
    connection = await asyncpg.connect(owner, server_settings={"search_path": "changes"})
    wanted = _Collected()
    govern(wanted, "note")
    for statement in wanted.statements:
        await connection.execute(statement)
    await connection.close()


@pytest.fixture(scope="session")
def start_toy(start_service: StartService, postgres: PostgresServer) -> StartToy:
    """`async with start_toy(router) as toy:` runs the toy with one more router."""

    def start(*routers: APIRouter, **settings: Any) -> AbstractAsyncContextManager[RunningService]:
        usual = {"create_app": partial(toy_service.create_app, routers=routers)}
        return start_service(
            "changes",
            settings=toy_service.Settings,
            prepare=partial(_prepare, postgres),
            **usual | settings,
        )

    return start


@pytest.fixture(scope="module")
async def toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy() as service:
        yield service
