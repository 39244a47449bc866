"""Fixtures every suite uses."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.harness import RunningService, running
from tests.support.postgres import PostgresServer, postgres_server

# A slow machine finds no faults in the code: examples have all the time they need.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

StartService = Callable[..., AbstractAsyncContextManager[RunningService]]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real measurements kept beside the project; tests that want them skip where they are absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the measurement data beside the project (../shared/data) is not here")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def issuer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer")


@pytest.fixture(scope="session")
def start_service(postgres: PostgresServer, issuer_folder: Path) -> StartService:
    """`async with start_service("changes") as s:` runs one service on a fresh database."""

    @asynccontextmanager
    async def start(service: str, **settings: Any) -> AsyncIterator[RunningService]:
        async with running(service, postgres, issuer_folder, **settings) as started:
            yield started

    return start
