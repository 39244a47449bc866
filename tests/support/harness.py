"""One service on a real database, with time, tokens and events in the test's hands."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import text

from concordat.embedded.issuer import ISSUER, DevelopmentIssuer
from services import registry
from services.registry import SERVICES
from shared.contracts.base import Event, Scope, rfc3339
from shared.data import migrations
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.clock import MovableClock
from shared.runtime.kernel import Kernel
from shared.runtime.settings import KernelSettings
from tests.support.postgres import PostgresServer
from tests.support.world import START, SYSADMIN, World

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "test"
E = TypeVar("E", bound=Event)


def passwords() -> dict[str, str]:
    return dict.fromkeys(migrations.role_names(SERVICES), PASSWORD)


def schema_fingerprint(*more: str) -> str:
    """Changes whenever a migration, a kernel table or one of `more` statements does: names a template database."""
    digest = hashlib.sha256("".join(more).encode())
    sources = [*ROOT.glob("services/*/migrations/**/*.py"), *ROOT.glob("shared/data/**/*.py")]
    for path in sources:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


async def template_database(server: PostgresServer) -> str:
    """The name of a template database in which every service's schema is at its newest revision."""

    async def build(url: str) -> None:
        await migrations.provision(url, passwords(), SERVICES)
        database = url.rpartition("/")[2]
        for service in SERVICES:
            owner = server.url(database, migrations.owner_role(service), PASSWORD)
            await asyncio.to_thread(registry.upgrade, service, owner)

    return await server.template(f"tmpl_{schema_fingerprint()}", build)


@dataclass
class RunningService:
    """A service under test; `client` speaks HTTP to it in this process."""

    name: str
    app: FastAPI
    client: httpx.AsyncClient
    clock: MovableClock
    issuer: DevelopmentIssuer
    world: World
    kernel: Kernel = field(init=False)
    first_position: int = 0
    """Of the archive, which nobody can empty: earlier events belong to an earlier test."""

    def __post_init__(self) -> None:
        self.kernel = self.app.state.kernel

    def token(self, member: str) -> str:
        """A bearer token of a member of the world, for example `customer.om_team`."""
        return self.issuer.token(member, self.clock())

    def headers(self, member: str, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(member)}"} | {
            k.replace("_", "-"): v for k, v in more.items()
        }

    async def get(self, member: str, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(path, headers=self.headers(member), params=params or None)

    async def post(
        self,
        member: str,
        path: str,
        body: object = None,
        *,
        version: int | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """POST JSON as a member; `version` becomes If-Match, `key` the Idempotency-Key."""
        headers = self.headers(member)
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        if key is not None:
            headers["Idempotency-Key"] = key
        return await self.client.post(path, headers=headers, json={} if body is None else body)

    async def publish(
        self,
        event: Event,
        *,
        aggregate_id: UUID,
        version: int = 1,
        scope: Scope | None = None,
        event_id: UUID | None = None,
        at: datetime | None = None,
        **attributes: str,
    ) -> None:
        """Let the service's consumer receive an event, through its inbox; `attributes` are more of its envelope."""
        scope = scope or self.world.scope
        envelope = {
            "specversion": "1.0",
            "id": str(event_id or uuid7()),
            "source": "/services/test",
            "type": event.TYPE,
            "subject": str(aggregate_id),
            "time": rfc3339(at or self.clock()),
            "datacontenttype": "application/json",
            "dataschema": "https://concordat.invalid/schemas/test.json",
            "sequence": version,
            "charterid": str(scope.charter_id) if scope.charter_id else None,
            "customerorgid": str(scope.customer_org_id) if scope.customer_org_id else None,
            "providerorgid": str(scope.provider_org_id) if scope.provider_org_id else None,
            "visibility": scope.visibility,
            "data": event.model_dump(mode="json", warnings=False),
            **attributes,
        }
        message = Delivered(
            event.TOPIC, 0, version, str(aggregate_id).encode(), json.dumps(envelope).encode(), {}
        )
        assert self.kernel.consumer is not None
        await self.kernel.consumer.handle(message)

    async def drain(self) -> int:
        """Run timers and workers until nothing is due."""
        handled = await self.kernel.timers.run_once()
        for worker in self.kernel.workers:
            handled += await worker.run_once()
        return handled

    async def events(self, kind: type[E]) -> Sequence[E]:
        """The events of one class the service has emitted so far, in order."""
        return [kind.model_validate(payload["data"]) for payload in await self.envelopes(kind)]

    async def envelopes(self, kind: type[Event]) -> list[dict[str, Any]]:
        """The whole CloudEvents of one class emitted so far, in order."""
        async with self.kernel.database.system() as session:
            rows = await session.execute(
                text(
                    "SELECT payload FROM event WHERE event_type = :type AND position >= :first ORDER BY position"
                ),
                {"type": kind.TYPE, "first": self.first_position},
            )
            return [json.loads(row.payload) for row in rows]

    async def forget_events(self) -> None:
        """From now on `events` and `envelopes` show later ones only."""
        async with self.kernel.database.system() as session:
            last = await session.scalar(text("SELECT max(position) FROM event"))
        self.first_position = (last or 0) + 1


def settings_for(
    server: PostgresServer,
    database: str,
    service: str,
    issuer: DevelopmentIssuer,
    settings: type[KernelSettings] | None = None,
    **extra: Any,
) -> KernelSettings:
    """The settings of a service on a test database."""
    chosen: type[KernelSettings] = settings or registry.settings_of(service)
    return chosen(
        environment="test",
        database_url=SecretStr(server.url(database, migrations.runtime_role(service), PASSWORD)),
        migration_url=SecretStr(server.url(database, migrations.owner_role(service), PASSWORD)),
        bus="pglog",
        bus_database_url=SecretStr(server.url(database, migrations.BUS_ROLE, PASSWORD)),
        issuers=(issuer.settings,),
        sysadmins=(f"{ISSUER}|{SYSADMIN}",),
        pool_size=5,
        log_level="error",
        background=False,
        **extra,
    )


@asynccontextmanager
async def running(
    service: str,
    server: PostgresServer,
    folder: Path,
    *,
    with_charter: bool = True,
    world: World | None = None,
    create_app: Callable[..., FastAPI] | None = None,
    prepare: Callable[[str], Awaitable[None]] | None = None,
    **settings: Any,
) -> AsyncIterator[RunningService]:
    """A service on a fresh copy of the template database, its world seeded, nothing in the background.

    Several services share a `world` if it is given.
    """
    template = await template_database(server)
    name = f"{service}_{uuid4().hex[:12]}"
    await server.create_database(name, template)
    if prepare:
        await prepare(name)
    issuer = DevelopmentIssuer.in_folder(folder)
    clock = MovableClock(START)
    chosen = settings_for(server, name, service, issuer, **settings)
    create_app = create_app or partial(registry.create_app, service)
    assert chosen.bus_database_url is not None
    app = create_app(chosen, PgLogBus(chosen.bus_database_url.get_secret_value()), clock)
    world = world or World()
    async with app.router.lifespan_context(app):
        async with app.state.kernel.database.system() as session:
            await world.seed(session, with_charter=with_charter)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield RunningService(service, app, client, clock, issuer, world)
    await server.drop_database(name)
