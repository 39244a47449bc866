"""Liveness, readiness and metrics of a service.

Readiness is about this process and its database. A bus that is away is a metric and an alert
(`concordat_bus_connected`), never a reason to stop answering: that is what the outbox is for.
"""

import asyncio

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text

from shared.runtime import telemetry
from shared.runtime.kernel import Kernel


def health_router(prefix: str) -> APIRouter:
    """Routes without a policy: they name no data."""
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


async def _readiness(kernel: Kernel) -> dict[str, str]:
    checks = {"shutdown": "stopping" if kernel.stopping else "ok", "database": await _database(kernel)}
    for check, state in checks.items():
        telemetry.READY.labels(kernel.info.name, check).set(state == "ok")
    return checks


async def _database(kernel: Kernel) -> str:
    try:
        async with asyncio.timeout(2), kernel.database.system() as session:
            await session.execute(text("SELECT 1 FROM alembic_version"))
    except Exception as error:
        return type(error).__name__
    return "ok"
