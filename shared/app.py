"""How every service is put together: routes, error handlers, health, and the work in the background."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared import audit_api, edge, errors, failpoints, idempotency, log, openapi, telemetry
from shared.audit_sealer import Sealer
from shared.auth import TokenVerifier
from shared.clock import Clock
from shared.contracts import TOPICS, registry
from shared.contracts.base import Event
from shared.db import Database
from shared.domain.refusal import Refusal
from shared.errors import ApiError
from shared.http import StrictRequest, require_json
from shared.messaging.backlog import EVERY, Backlog
from shared.messaging.bus import Bus
from shared.messaging.connection import connect
from shared.messaging.consumer import ConsumerRunner
from shared.messaging.janitor import janitor
from shared.messaging.open import open_bus
from shared.messaging.pglog import PgLogBus
from shared.messaging.relay import Relay
from shared.migrations import refuse_powerful_role
from shared.operations import operations_router
from shared.settings import KernelSettings
from shared.timers import Timer, TimerRunner

Handler = Callable[[AsyncSession, Any, datetime], Awaitable[None]]
STOP_SECONDS = 25
AUDIT = ("audit", "Who did what and when, and the evidence that nobody changed it afterwards.")
OPERATIONS = ("operations", "For the operator of the service: messages that were set aside.")
logger = structlog.get_logger()


@dataclass(frozen=True)
class ServiceInfo:
    """What a service is called and what it shows. `tags` are (name, description) of the API document."""

    name: str
    title: str
    description: str
    metadata: MetaData
    tags: Sequence[tuple[str, str]]


class Worker(Protocol):
    """A loop of a service's own, beside relay, consumer and timers."""

    async def run(self) -> None: ...

    async def stop(self) -> None: ...

    async def run_once(self) -> int: ...


@dataclass
class Kernel:
    """What a running service stands on; `app.state.kernel`."""

    info: ServiceInfo
    settings: KernelSettings
    clock: Clock
    database: Database
    tokens: TokenVerifier
    bus: Bus
    relay: Relay
    consumer: ConsumerRunner | None
    timers: TimerRunner
    wakeup: asyncio.Event
    workers: list[Worker] = field(default_factory=list)
    stopping: bool = False
    failed: bool = False
    topics_exist: bool = False

    @property
    def is_connected(self) -> bool:
        """Whether relay and consumer reach the bus."""
        return self.relay.healthy and (self.consumer is None or self.consumer.healthy)

    async def start(self) -> list[asyncio.Task[None]]:
        """Start the background work; the tasks run until `stop`."""
        loops: list[tuple[str, Coroutine[Any, Any, None]]] = [
            ("relay", self.relay.run()),
            *([("consumer", self.consumer.run())] if self.consumer else []),
            ("timers", self.timers.run()),
            (
                "janitor",
                janitor(
                    self.settings.database_url.get_secret_value(),
                    service=self.info.name,
                    schema=self.info.name,
                ),
            ),
            *((type(worker).__name__, worker.run()) for worker in self.workers),
        ]
        with structlog.contextvars.bound_contextvars(service=self.info.name):
            tasks = [asyncio.create_task(loop, name=f"{self.info.name}-{name}") for name, loop in loops]
        for task in tasks:
            task.add_done_callback(self._noticed)
        return tasks

    def _noticed(self, task: asyncio.Task[None]) -> None:
        """A loop that died leaves a service that answers but does nothing: end, and let the supervisor restart."""
        if self.stopping or task.cancelled() or task.exception() is None:
            return
        logger.error("background_task_died", task=task.get_name(), exc_info=task.exception())
        self.failed = True
        if self.settings.environment != "test":
            os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self, tasks: list[asyncio.Task[None]]) -> None:
        """Finish what is in hand, then end; what does not end in time is cancelled (nothing is lost)."""
        self.stopping = True
        self.timers.stop()
        stops = [self.relay.stop(), *(worker.stop() for worker in self.workers)]
        stops += [self.consumer.stop()] if self.consumer else []
        await asyncio.gather(*stops, return_exceptions=True)
        for task in tasks:
            if task.get_name().endswith("-janitor"):
                task.cancel()
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS) if tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class GovernedRoute(APIRoute):
    """A route that needs a caller: token, one transaction in the caller's eyes, idempotency, commit, answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        route = f"{'/'.join(sorted(self.methods or ()))} {self.path_format}"
        has_body = self.body_field is not None
        max_bytes = (self.openapi_extra or {}).get("x-max-body-bytes")

        async def governed(request: Request) -> Response:
            kernel: Kernel = request.app.state.kernel
            identity = request.state.identity = await kernel.tokens.identify(request)
            strict = StrictRequest(request.scope, request.receive)
            strict.max_bytes = max_bytes or kernel.settings.max_body_bytes
            claim = None
            try:
                if has_body:
                    require_json(request)
                    await strict.body()  # before the transaction: a slow client must not hold a connection
                async with kernel.database.acting_as(identity) as (session, principal):
                    strict.state.session, strict.state.principal = session, principal
                    claim = await idempotency.read_claim(strict, principal, route)
                    response = await idempotency.once(session, claim, kernel.clock(), lambda: handle(strict))
                    failpoints.hit("api_before_commit")
                failpoints.hit("api_after_commit")
            except (ApiError, Refusal) as refused:
                response = errors.refusal_response(request, refused)
                if claim is not None and response.status_code in (409, 422):
                    async with kernel.database.acting_as(identity) as (session, _):
                        await idempotency.remember_refusal(session, claim, kernel.clock(), response)
            kernel.wakeup.set()
            return response

        return governed


def new_router(tag: str, prefix: str) -> APIRouter:
    """A router of governed routes under one tag of the API document."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=GovernedRoute)


def new_app(
    info: ServiceInfo,
    settings: KernelSettings,
    *,
    routers: Sequence[APIRouter],
    handlers: Mapping[type[Event], Handler],
    timers: Sequence[Timer],
    bus: Bus | None,
    clock: Clock,
    workers: Callable[[Kernel], Sequence[Worker]] = lambda kernel: (),
) -> FastAPI:
    """The FastAPI application of one service. Background work starts with its lifespan."""
    process = "concordat" if settings.environment == "embedded" else f"concordat-{info.name}"
    log.configure(settings.log_level, process.removeprefix("concordat-"))
    if settings.tracing:
        telemetry.export_traces(process)
    kernel = _kernel(info, settings, handlers, timers, bus, clock)
    kernel.workers.extend(workers(kernel))
    app = FastAPI(
        title=info.title,
        description=info.description,
        version="1.0.0",
        openapi_url=f"/{info.name}/openapi.json",
        docs_url=None,
        redoc_url=None,
        openapi_tags=[
            {"name": name, "description": about} for name, about in (*info.tags, AUDIT, OPERATIONS)
        ],
        generate_unique_id_function=lambda route: route.name,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.state.kernel = kernel
    app.add_middleware(edge.Edge, service=info.name)
    errors.install(app)
    openapi.install(app)
    app.include_router(_health(info.name))
    app.include_router(operations_router(info.name, new_router("operations", f"/{info.name}/v1")))
    app.include_router(audit_api.trail(new_router("audit", f"/{info.name}/v1/audit")))
    app.include_router(audit_api.keys(info.name, settings.audit_keys(info.name)))
    for router in routers:
        app.include_router(router)
    return app


def _kernel(
    info: ServiceInfo,
    settings: KernelSettings,
    handlers: Mapping[type[Event], Handler],
    timers: Sequence[Timer],
    bus: Bus | None,
    clock: Clock,
) -> Kernel:
    url = settings.database_url.get_secret_value()
    database = Database(url, info.name, pool_size=settings.pool_size)
    wakeup = asyncio.Event()
    bus = bus or open_bus(settings)
    kept = Timer("idempotency_expiry", timedelta(hours=1), idempotency.expire)
    sealer = Sealer(info.name, settings.audit_keys(info.name))
    consumer = _consumer(info.name, bus, database, handlers, clock)
    measured = Timer("backlog", EVERY, Backlog(info.name, consumer).measure)
    own = (kept, measured, *sealer.timers, *_bus_timers(bus))
    telemetry.POOL_SIZE.labels(info.name).set(settings.pool_size)
    telemetry.POOL_IN_USE.labels(info.name).set_function(lambda: database.connections_in_use)
    return Kernel(
        info=info,
        settings=settings,
        clock=clock,
        database=database,
        tokens=TokenVerifier(settings.issuers, settings.sysadmins, clock),
        bus=bus,
        relay=Relay(url, bus, service=info.name, schema=info.name, wakeup=wakeup),
        consumer=consumer,
        timers=TimerRunner(info.name, database, (*timers, *own), clock),
        wakeup=wakeup,
    )


def _bus_timers(bus: Bus) -> tuple[Timer, ...]:
    """The log in PostgreSQL forgets by itself what every group has read; a broker has its own retention."""
    if not isinstance(bus, PgLogBus):
        return ()

    async def prune(session: AsyncSession, now: datetime) -> int:
        await bus.prune()
        return 0

    return (Timer("bus_retention", timedelta(hours=1), prune),)


def _consumer(
    service: str, bus: Bus, database: Database, handlers: Mapping[type[Event], Handler], clock: Clock
) -> ConsumerRunner | None:
    """The service's one consumer group, or None for a service that listens to nobody."""
    if not handlers:
        return None
    timed = {event: _timed(handler, clock) for event, handler in handlers.items()}
    return ConsumerRunner(
        service, f"concordat-{service}", bus, database.system, registry(), timed, clock=clock
    )


def _timed(handler: Handler, clock: Clock) -> Callable[[AsyncSession, Any], Awaitable[None]]:
    async def handle(session: AsyncSession, received: Any) -> None:
        await handler(session, received, clock())

    return handle


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    kernel: Kernel = app.state.kernel
    await _refuse_powerful_role(kernel)
    tasks = await kernel.start() if kernel.settings.background else []
    try:
        yield
    finally:
        await kernel.stop(tasks)
        await kernel.database.close()


async def _refuse_powerful_role(kernel: Kernel) -> None:
    connection = await connect(
        kernel.settings.database_url.get_secret_value(), f"start-{kernel.info.name}", kernel.info.name
    )
    try:
        await refuse_powerful_role(connection)
    finally:
        await connection.close()


def _health(prefix: str) -> APIRouter:
    """Liveness, readiness and metrics: routes without a policy. They name no data."""
    router = APIRouter(prefix=f"/{prefix}", include_in_schema=False)

    @router.get("/healthz")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/readyz")
    async def ready(request: Request, response: Response) -> dict[str, str]:
        checks = await _readiness(request.app.state.kernel)
        response.status_code = 200 if all(state == "ok" for state in checks.values()) else 503
        return checks

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _topics(kernel: Kernel) -> str:
    """Whether every topic exists; asked of the broker until it does."""
    if not kernel.topics_exist:
        try:
            async with asyncio.timeout(3):
                missing = await kernel.bus.missing_topics(TOPICS)
        except Exception as error:
            return type(error).__name__
        if missing:
            return f"missing: {', '.join(sorted(missing))}; run `concordat topics`"
        kernel.topics_exist = True
    return "ok"


async def _readiness(kernel: Kernel) -> dict[str, str]:
    checks = {"shutdown": "stopping" if kernel.stopping else "ok"}
    try:
        async with asyncio.timeout(2), kernel.database.system() as session:
            await session.execute(text("SELECT 1 FROM alembic_version"))
        checks["database"] = "ok"
    except Exception as error:
        checks["database"] = type(error).__name__
    if kernel.settings.background:
        checks["topics"] = await _topics(kernel)
        checks["bus"] = "ok" if kernel.is_connected else "unreachable"
    for check, state in checks.items():
        telemetry.READY.labels(kernel.info.name, check).set(state == "ok")
    return checks
