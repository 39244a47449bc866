"""Every error a Kafka client knows, in random order: nothing lost, nothing doubled, nothing out of order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.data.session import Database
from shared.messaging.relay import Relay, RelayTiming
from tests.support.faults.kafka_double import Cluster
from tests.support.faults.service import consumer
from tests.support.faults.stage import Stage
from tests.support.messaging import running
from tests.support.patience import until

ENOUGH = 5
QUICK = RelayTiming(publish=5.0, first_backoff=0.01, longest_backoff=0.1)


@asynccontextmanager
async def on_a_double(stage: Stage, cluster: Cluster) -> AsyncIterator[None]:
    """Relay and one consumer per group in this process, on the double."""
    database = Database(stage.setup.database_url, "changes", pool_size=6)
    relay = Relay(stage.setup.database_url, cluster, service="changes", schema="changes", timing=QUICK)
    ledger, mail = (consumer(group, cluster, database) for group in stage.groups)
    async with running(relay), running(ledger), running(mail):
        yield
    await database.close()


async def test_produce_and_commit_errors_in_random_order(log_stage: Stage) -> None:
    """T9 and T11: many requests fail, some of them although they were carried out."""
    stage = log_stage
    cluster = Cluster(stage.chance, produce_trouble=0.03, other_trouble=0.2)
    service = await stage.service(background=False)
    async with stage.load(service.url, clients=5):
        await asyncio.sleep(1.5)  # a backlog puts several versions of a note into one batch of the relay
    async with on_a_double(stage, cluster):
        async with stage.load(service.url, clients=3):
            await until(lambda: min(cluster.produce_errors, cluster.commit_errors) >= ENOUGH)
        cluster.produce_trouble = cluster.other_trouble = 0.0
        await stage.settle()
    await stage.verdict(cluster.messages())
