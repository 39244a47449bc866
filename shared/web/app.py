"""How every service is put together: routes, error handlers, health, and the work in the background."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from shared.audit import api as audit_api
from shared.data import migrations
from shared.messaging.bus import Bus
from shared.messaging.connection import connect
from shared.messaging.projections import Projection
from shared.runtime import log, telemetry
from shared.runtime.clock import Clock
from shared.runtime.due import Kind
from shared.runtime.kernel import Kernel, ServiceInfo, Worker, new_kernel
from shared.runtime.settings import KernelSettings
from shared.runtime.timers import Timer
from shared.web import middleware as edge
from shared.web import openapi
from shared.web import problems as errors
from shared.web.documents import documents_router
from shared.web.health import health_router
from shared.web.operations import operations_router
from shared.web.route import new_router

logger = structlog.get_logger()
AUDIT = ("audit", "Who did what and when, and the evidence that nobody changed it afterwards.")
OPERATIONS = ("operations", "For the operator of the service: messages that were set aside.")


def new_app(
    info: ServiceInfo,
    settings: KernelSettings,
    *,
    routers: Sequence[APIRouter],
    projections: Sequence[Projection] = (),
    due: Sequence[Kind[Any]] = (),
    timers: Sequence[Timer] = (),
    bus: Bus | None,
    clock: Clock,
    workers: Callable[[Kernel], Sequence[Worker]] = lambda kernel: (),
) -> FastAPI:
    """The FastAPI application of one service. Background work starts with its lifespan."""
    process = "concordat" if settings.environment == "embedded" else f"concordat-{info.name}"
    log.configure(settings.log_level, process.removeprefix("concordat-"))
    if settings.tracing:
        telemetry.export_traces(process)
    kernel = new_kernel(info, settings, projections, due, timers, bus, clock)
    kernel.workers.extend(workers(kernel))
    app = _bare(info)
    app.state.kernel = kernel
    app.add_middleware(edge.Edge, service=info.name)
    if settings.trusted_proxies:
        trusted = [str(network) for network in settings.trusted_proxies]
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)
    errors.install(app)
    openapi.install(app)
    # Routes are compared in their order, and those of the service are asked for most.
    for router in (*routers, *_common(info, settings)):
        app.include_router(router)
    return app


def _bare(info: ServiceInfo) -> FastAPI:
    """An application without routes; the name of a route's function is its operation id."""
    tags = [{"name": name, "description": about} for name, about in (*info.tags, AUDIT, OPERATIONS)]
    return FastAPI(
        title=info.title,
        description=info.description,
        version="1.0.0",
        openapi_url=f"/{info.name}/openapi.json",
        docs_url=None,
        redoc_url=None,
        openapi_tags=tags,
        generate_unique_id_function=lambda route: route.name,
        lifespan=_lifespan,
        redirect_slashes=False,
    )


def _common(info: ServiceInfo, settings: KernelSettings) -> Iterator[APIRouter]:
    """The routes every service has."""
    yield health_router(info.name)
    yield documents_router(info.name, info.title)
    yield operations_router(new_router("operations", f"/{info.name}/v1"))
    yield audit_api.trail(new_router("audit", f"/{info.name}/v1/audit"))
    yield audit_api.keys(info.name, settings.audit_keys(info.name))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    kernel: Kernel = app.state.kernel
    await _refuse_unfit_database(kernel)
    tasks = await kernel.start() if kernel.settings.background else []
    try:
        yield
    finally:
        await kernel.stop(tasks)
        await kernel.database.close()


async def _refuse_unfit_database(kernel: Kernel) -> None:
    info = kernel.info
    url = kernel.settings.database_url.get_secret_value()
    connection = await connect(url, f"start-{info.name}", info.name)
    try:
        await migrations.refuse_powerful_role(connection)
        await migrations.refuse_old_schema(connection, info.name, info.metadata, info.versions)
    except RuntimeError as unfit:
        logger.error("start_refused", reason=str(unfit))  # before the server's traceback, which is cut
        raise
    finally:
        await connection.close()
