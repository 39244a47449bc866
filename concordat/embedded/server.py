"""The four real services in one process behind one port, on PostgreSQL from a wheel: the newcomer's mode.

Requests are dispatched by path prefix; nothing is mounted, so every service sees the URLs it has in
production and runs its own lifespan.
"""

import asyncio
import base64
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from concordat.embedded.issuer import ISSUER, SYSADMIN, DevelopmentIssuer
from concordat.embedded.postgres import EmbeddedPostgres
from services.registry import SERVICES, create_app, refuse_old_schema, settings_of, upgrade
from shared.data import migrations
from shared.messaging.connection import connect
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.clock import Clock, system_clock
from shared.runtime.settings import KernelSettings
from shared.web import problems as errors
from shared.web.answers import HtmlPage
from shared.web.middleware import Edge

DATABASE = "concordat"
LOOPBACK = ("127.0.0.0/8",)


@dataclass(frozen=True)
class Platform:
    """A provisioned database and everything needed to build the services on it."""

    folder: Path
    admin_url: str
    passwords: Mapping[str, str]
    notifier_key: str
    issuer: DevelopmentIssuer
    public_url: str

    def url(self, role: str) -> str:
        """The database as one of our roles."""
        return _as_role(self.admin_url, role, self.passwords[role])

    def settings(self, service: str) -> KernelSettings:
        """The settings of a service here."""
        common: dict[str, Any] = {
            "environment": "embedded",
            "database_url": SecretStr(self.url(migrations.runtime_role(service))),
            "migration_url": SecretStr(self.url(migrations.owner_role(service))),
            "bus": "pglog",
            "bus_database_url": SecretStr(self.url(migrations.BUS_ROLE)),
            "issuers": (self.issuer.settings,),
            "sysadmins": (f"{ISSUER}|{SYSADMIN}",),
            "public_url": self.public_url,
            "log_level": os.environ.get("CONCORDAT_LOG_LEVEL", "warning"),
        }
        return settings_of(service)(**common | self._own_settings().get(service, {}))

    def _own_settings(self) -> dict[str, dict[str, Any]]:
        """What one service needs beyond that: the notifier delivers to this machine."""
        return {
            "notifier": {
                "secret_key": SecretStr(self.notifier_key),
                "allowed_networks": LOOPBACK,
                "allowed_ports": ("443", "1024-65535"),
            }
        }

    def services(self, clock: Clock = system_clock) -> dict[str, FastAPI]:
        """The four applications, by prefix, on one bus."""
        bus = PgLogBus(self.url(migrations.BUS_ROLE))
        return {service: create_app(service, self.settings(service), bus, clock) for service in SERVICES}


class Dispatcher:
    """One ASGI application for many: the first path segment chooses, and all lifespans run."""

    def __init__(
        self,
        apps: Mapping[str, ASGIApp],
        root: ASGIApp,
        started: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`started` is called once all lifespans have begun, before the first request."""
        self._apps = apps
        self._root = root
        self._started = started

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        prefix = scope["path"].split("/", 2)[1] if scope["path"].startswith("/") else ""
        await self._apps.get(prefix, self._root)(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Start every service, and stop them in the opposite order."""
        async with AsyncExitStack() as stack:
            for app in self._apps.values():
                if isinstance(app, FastAPI):
                    await stack.enter_async_context(app.router.lifespan_context(app))
            if self._started:
                await self._started()
            yield

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def platform(folder: Path, database_url: str | None, public_url: str) -> Iterator[Platform]:
    """A migrated database: the given one, else an embedded server whose data live in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if database_url is None:
            server = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
            asyncio.run(_ensure_database(server.url("postgres")))
            database_url = server.url(DATABASE)
        kept = _secrets(folder / "secrets.json")
        ready = Platform(
            folder=folder,
            admin_url=database_url,
            passwords=kept["passwords"],
            notifier_key=kept["notifier_key"],
            issuer=DevelopmentIssuer.in_folder(folder),
            public_url=public_url,
        )
        migrate(ready)
        yield ready


def migrate(ready: Platform) -> None:
    """Roles, schemas and tables at their newest revision. Raises `UnknownSchema` or `OldSchema`."""
    asyncio.run(migrations.provision(ready.admin_url, dict(ready.passwords), SERVICES))
    for service in SERVICES:
        upgrade(service, ready.url(migrations.owner_role(service)))
        asyncio.run(_refuse_old_schema(ready, service))


async def _refuse_old_schema(ready: Platform, service: str) -> None:
    """Until the first release a migration may change in place: its revision alone does not say what it made."""
    connection = await connect(ready.url(migrations.runtime_role(service)), "migrate", service)
    try:
        await refuse_old_schema(service, connection)
    finally:
        await connection.close()


def _as_role(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role)}:{quote(password)}@{address}"))


async def _ensure_database(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    try:
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE
        ):
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await connection.close()


def _secrets(path: Path) -> dict[str, Any]:
    """Passwords and keys of this installation, each made when it is first needed and readable by its owner only."""
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    new = {role: secrets.token_urlsafe(24) for role in migrations.role_names(SERVICES)}
    current = {
        "passwords": new | kept.get("passwords", {}),
        "notifier_key": kept.get("notifier_key") or base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    if current != kept:
        path.touch(mode=0o600)
        path.write_text(json.dumps(current))
    return current


STYLE = "body{font-family:system-ui,sans-serif;margin:2rem;max-width:60rem}th,td{text-align:left;padding:.3rem 1rem .3rem 0}"


def front_door(services: Mapping[str, FastAPI]) -> Starlette:
    """The page at `/`, and the problem document for every path no service has."""
    page = _front_page(services)

    async def index(request: Request) -> HtmlPage:
        return HtmlPage(page, STYLE)

    async def nowhere(request: Request, error: Exception) -> JSONResponse:
        detail = f"No service answers {request.url.path}; the services are {', '.join(services)}."
        return errors.problem(request, 404, "no_such_route", detail)

    return Starlette(
        routes=[Route("/", index)],
        middleware=[Middleware(Edge, service="front")],
        exception_handlers={404: nowhere},
    )


def _front_page(services: Mapping[str, FastAPI]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{app.title}</th><td><a href="/{name}/docs">try it out</a></td>'
        f'<td><a href="/{name}/openapi.json">OpenAPI</a></td><td><a href="/{name}/readyz">ready?</a></td>'
        f'<td><a href="/{name}/metrics">metrics</a></td></tr>'
        for name, app in services.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Concordat</title>'
        f"<style>{STYLE}</style></head><body><main><h1>Concordat</h1>"
        "<p>To call an operation, press Authorize on its page and paste a token of the file tokens.env.</p>"
        "<table><caption>The services behind this address</caption><thead><tr>"
        '<th scope="col">Service</th><th scope="col">Interactive document</th><th scope="col">API document</th>'
        '<th scope="col">Health</th><th scope="col">Metrics</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></main></body></html>"
    )
