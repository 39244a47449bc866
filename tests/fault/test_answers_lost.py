"""The work was done, but the answer never arrived: asking again must not do it twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.support.faults.history import rounds
from tests.support.faults.proxy import FaultProxy, fault_proxy
from tests.support.faults.stage import Stage, port_of, through
from tests.support.patience import until

CUTS = 9


@asynccontextmanager
async def cutting(
    proxy: FaultProxy,
    chance: random.Random,
) -> AsyncIterator[None]:
    """In the background, cut answers for a moment, again and again, until at least one was lost."""

    async def cut() -> None:
        for _ in range(rounds(CUTS)):
            await asyncio.sleep(chance.uniform(0.15, 0.4))
            before = proxy.cuts
            proxy.fail(cut_answers=True)
            await asyncio.sleep(chance.uniform(0.01, 0.06))
            await until(lambda: proxy.cuts > before)  # noqa: B023 - used within the turn
            proxy.heal()

    task = asyncio.create_task(cut())
    yield
    await task


async def test_answers_of_the_service_get_lost(log_stage: Stage) -> None:
    """T10, between client and service: the client repeats what was done already."""
    stage = log_stage
    service = await stage.service()
    stage.consumers(stage.groups[1])
    async with fault_proxy(service.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        async with stage.load(url, clients=5), cutting(proxy, stage.chance):
            stage.fault("answers of the service are cut")
    await stage.settle()
    await stage.verdict()
    assert stage.history.of("info"), "no answer was lost"


async def test_answers_of_the_database_get_lost(log_stage: Stage) -> None:
    """T10, between service and database: a commit whose answer is lost may have happened, and 503 says so."""
    stage = log_stage
    stage.relay()
    stage.consumers()
    async with fault_proxy(port_of(stage.setup.database_url)) as proxy:
        lossy = replace(stage.setup, database_url=through(stage.setup.database_url, proxy.port))
        service = await stage.service(setup=lossy, background=False)
        async with stage.load(service.url, clients=5), cutting(proxy, stage.chance):
            stage.fault("answers of the database are cut")
    await stage.settle()
    await stage.verdict()
    assert {answer["status"] for answer in stage.history.of("info")} == {503}


async def test_answers_of_the_log_get_lost(log_stage: Stage) -> None:
    """T10, between relay or consumer and the log in PostgreSQL."""
    stage = log_stage
    service = await stage.service(background=False)
    async with fault_proxy(port_of(stage.setup.bus_address)) as proxy:
        lossy = through(stage.setup.bus_address, proxy.port)
        stage.relay(bus_address=lossy)
        for group in stage.groups:
            stage.consumer(group, bus_address=lossy)
        async with stage.load(service.url, clients=5), cutting(proxy, stage.chance):
            stage.fault("answers of the log are cut")
        await stage.settle()
    await stage.verdict()


async def test_acknowledgements_of_the_bus_get_lost(stage: Stage) -> None:
    """T10, between relay and any bus: a third of the batches is taken but never acknowledged."""
    service = await stage.service(background=False)
    stage.relay(lost_answers=0.3)
    stage.consumers()
    async with stage.load(service.url, clients=5):
        await asyncio.sleep(2)
    await stage.settle()
    await stage.verdict()


async def test_the_log_goes_away_and_comes_back(log_stage: Stage) -> None:
    """T7 on the log in PostgreSQL: commands go on without it, events follow when it is back."""
    stage = log_stage
    async with fault_proxy(port_of(stage.setup.bus_address)) as proxy:
        away = replace(stage.setup, bus_address=through(stage.setup.bus_address, proxy.port))
        service = await stage.service(setup=away)
        stage.consumer(stage.groups[1], bus_address=away.bus_address)
        async with stage.load(service.url, clients=4):
            await asyncio.sleep(0.5)
            for _ in range(2):
                proxy.fail(refuse=True)
                proxy.reset_all()
                await asyncio.sleep(1.2)
                proxy.heal()
                await asyncio.sleep(0.5)
        await stage.settle()
        await stage.verdict()
    assert not stage.history.of("info"), "the service must not need the bus to answer"
