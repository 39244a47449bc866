"""Readiness is about the process and its database; a bus that is away is a metric, and the outbox waits."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared.messaging.backlog import TopicWatch
from shared.messaging.bus import Bus
from shared.runtime.clock import Clock
from shared.runtime.settings import KernelSettings
from tests.api.web.conftest import StartToy
from tests.support import toy_service
from tests.support.harness import RunningService

TEAM = "customer.om_team"


def on_a_dead_broker(settings: KernelSettings, bus: Bus, clock: Clock) -> FastAPI:
    """The toy with its background work, on a Kafka that nobody runs."""
    away = {"background": True, "bus": "kafka", "kafka_bootstrap": "127.0.0.1:9"}
    return toy_service.create_app(settings.model_copy(update=away), None, clock)


@pytest.fixture
async def toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy(create_app=on_a_dead_broker) as service:
        yield service


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_a_service_without_its_bus_is_ready_and_goes_on_answering(toy: RunningService) -> None:
    ready = await toy.client.get("/changes/readyz")
    assert (ready.status_code, ready.json()) == (200, {"shutdown": "ok", "database": "ok"})
    made = await toy.post(
        TEAM, "/changes/v1/notes", {"charter_id": str(toy.world.charter_id), "title": "kept in the outbox"}
    )
    assert made.status_code == 201
    async with toy.kernel.database.system() as session:
        assert await session.scalar(text("SELECT count(*) FROM outbox")) >= 1
    assert sample("concordat_bus_connected", service="changes", part="relay") == 0


async def test_a_process_that_stops_is_not_ready(toy: RunningService) -> None:
    toy.kernel.stopping = True
    ready = await toy.client.get("/changes/readyz")
    assert (ready.status_code, ready.json()["shutdown"]) == (503, "stopping")
    toy.kernel.stopping = False


class Broker:
    """Has some topics, or does not answer."""

    def __init__(self, missing: set[str] | None) -> None:
        self.missing = missing

    async def missing_topics(self, topics: object) -> set[str]:
        if self.missing is None:
            raise ConnectionRefusedError
        return self.missing


async def test_topics_that_do_not_exist_are_counted_until_they_do(toy: RunningService) -> None:
    broker = Broker({"concordat.sla"})
    watch = TopicWatch("watched", broker)  # type: ignore[arg-type]
    async with toy.kernel.database.system() as session:
        await watch.look(session, toy.clock())
        assert sample("concordat_bus_topics_missing", service="watched") == 1
        broker.missing = None
        await watch.look(session, toy.clock())
        assert sample("concordat_bus_topics_missing", service="watched") == 1, "nobody answered: nothing new"
        broker.missing = set()
        await watch.look(session, toy.clock())
        assert sample("concordat_bus_topics_missing", service="watched") == 0
