"""The four services together in this process, on one bus, with time in the test's hands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from concordat.demonstration.steps import Story
from concordat.embedded.issuer import ISSUER, DevelopmentIssuer
from concordat.embedded.server import Dispatcher, front_door
from services.registry import SERVICES, create_app
from shared.contracts import TOPICS
from shared.data import migrations
from shared.messaging.bus import Bus
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.clock import MovableClock
from tests.support.harness import PASSWORD, settings_for, template_database
from tests.support.patience import PATIENCE
from tests.support.postgres import PostgresServer
from tests.support.processes import kafka_bootstrap

START = datetime(2026, 10, 1, 13, tzinfo=UTC)
BUSES = ("pglog", "kafka")


@dataclass
class WholePlatform:
    """Everything running; `story` speaks to it through one port, as the embedded mode does."""

    services: dict[str, FastAPI]
    clock: MovableClock
    story: Story
    url: str

    async def pass_time(self, until: datetime) -> None:
        """Move the clock and run what became due."""
        self.clock.set(until)
        for service in self.services.values():
            await service.state.kernel.timers.run_once()


async def open_test_bus(kind: str, bus_url: str) -> Bus:
    if kind == "pglog":
        return PgLogBus(bus_url)
    from shared.messaging.kafka.bus import KafkaBus, ensure_topics

    bootstrap = kafka_bootstrap()
    await ensure_topics(bootstrap, TOPICS, partitions=3, replication=1)
    return KafkaBus(bootstrap)


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """An application behind a real HTTP server on a free port of this machine; yields its address."""
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="error", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await serving


@asynccontextmanager
async def whole_platform(
    server: PostgresServer, folder: Path, bus_kind: str = "pglog"
) -> AsyncIterator[WholePlatform]:
    """Four services on a fresh database. On Kafka every platform has subjects of its own on shared topics."""
    template = await template_database(server)
    database = f"whole_{uuid4().hex[:12]}"
    bus = await open_test_bus(bus_kind, server.url(database, migrations.BUS_ROLE, PASSWORD))
    await server.create_database(database, template)
    issuer = DevelopmentIssuer.in_folder(folder)
    clock = MovableClock(START)
    services: dict[str, FastAPI] = {}
    for name in SERVICES:
        extra = (
            {"allowed_networks": ("127.0.0.0/8",), "allowed_ports": ("1024-65535",)}
            if name == "notifier"
            else {}
        )
        settings = settings_for(server, database, name, issuer, **extra).model_copy(
            update={"background": True}
        )
        services[name] = create_app(name, settings, bus, clock)
    dispatcher = Dispatcher(services, front_door(services))

    async def token(subject: str) -> str:
        return issuer.token(subject, clock())

    async with (
        dispatcher.lifespan(),
        listening(dispatcher) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        yield WholePlatform(services, clock, Story(client, token, ISSUER, prefix=f"{database[-6:]}."), url)
    await server.drop_database(database)
