"""The tiny service of the messaging tests: one for each module, empty for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.messaging import Service, new_service
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="module")
async def whole_module(postgres: PostgresServer) -> AsyncIterator[Service]:
    async with new_service(postgres) as made:
        yield made


@pytest.fixture
async def service(whole_module: Service) -> Service:
    await whole_module.empty()
    return whole_module
