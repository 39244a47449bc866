"""Apache Kafka loses nodes, leaders and members; every event still arrives once, in order."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.faults.history import History
from tests.support.faults.kafka_cluster import KafkaCluster, new_cluster
from tests.support.faults.processes import Actor
from tests.support.faults.stage import Stage, new_stage
from tests.support.postgres import PostgresServer
from tests.support.processes import kafka_bootstrap

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[KafkaCluster]:
    kafka_bootstrap()  # a real broker only
    made = new_cluster(tmp_path_factory.mktemp("kafka"))
    try:
        await made.up()
        yield made
    finally:
        await made.down()


@pytest.fixture
async def stage(
    cluster: KafkaCluster, postgres: PostgresServer, issuer_folder: Path, history: History, seed: int
) -> AsyncIterator[Stage]:
    async with new_stage(postgres, issuer_folder, history, seed, cluster.bootstrap) as made:
        yield made


async def test_one_node_dies_then_the_majority_then_all_come_back(
    stage: Stage, cluster: KafkaCluster
) -> None:
    """T7 and T8: first other leaders take over, then no partition has one for longer than a publish may take."""
    service = await stage.service(background=False)
    relays = [stage.relay(publish_seconds=3.0), stage.relay(publish_seconds=3.0)]
    stage.consumers()
    first, second = stage.chance.sample((1, 2, 3), 2)
    async with stage.load(service.url, clients=3):
        await asyncio.sleep(1)
        await cluster.kill(first)
        await asyncio.sleep(3)
        await cluster.kill(second)
        await asyncio.sleep(4)
        await cluster.up()
    await stage.settle()
    await stage.verdict()
    assert {relay.exit_code for relay in relays} == {None}


async def test_members_join_and_leave_all_the_time(stage: Stage) -> None:
    """T12: a rebalance every second, polite and impolite ones."""
    chance = stage.chance
    service = await stage.service(background=False)
    stage.relay()
    stage.consumers(stage.groups[1])
    members: list[Actor] = [stage.consumer(stage.groups[0])]
    async with stage.load(service.url, clients=3):
        for _ in range(8):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            if len(members) > 1 and chance.random() < 0.5:
                leaving = members.pop(chance.randrange(len(members)))
                leaving.signal(chance.choice((signal.SIGTERM, signal.SIGKILL)))
            else:
                members.append(stage.consumer(stage.groups[0]))
    await stage.settle()
    await stage.verdict()
