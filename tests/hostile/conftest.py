"""Stages that the tests of one file share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.conftest import StartService
from tests.hostile.objects import collections_of, one
from tests.hostile.support import Stage, staged

StageOf = Callable[[str], Awaitable[Stage]]


@pytest.fixture(scope="module")
async def stage_of(start_service: StartService) -> AsyncIterator[StageOf]:
    """`await stage_of("sla")` is that service with everybody in it, started once."""
    started: dict[str, Stage] = {}
    async with AsyncExitStack() as stack:

        async def get(service: str) -> Stage:
            if service not in started:
                started[service] = await stack.enter_async_context(staged(start_service, service))
            return started[service]

        yield get


@pytest.fixture(scope="module")
def populated(stage_of: StageOf) -> StageOf:
    """Stages on which the victim and both neighbours have one object of everything."""

    async def get(service: str) -> Stage:
        stage = await stage_of(service)
        for collection in collections_of(service):
            for parties in (stage.victim, stage.second, stage.third):
                await one(stage, collection, parties)
        return stage

    return get
