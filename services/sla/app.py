"""The sla service, put together."""

from fastapi import FastAPI

from services.sla import consumers
from services.sla.api import agreements, observations, reports, results, reviews, slas
from services.sla.base import Base
from services.sla.settings import Settings
from services.sla.timers import TIMERS
from shared.data import directory
from shared.messaging.bus import Bus
from shared.runtime.clock import Clock, system_clock
from shared.runtime.kernel import ServiceInfo
from shared.web.app import new_app

SERVICE = ServiceInfo(
    name="sla",
    title="Concordat sla service",
    description=(
        "Agreements and SLAs, what was observed, what it came to, and the performance reports that the "
        "provider publishes and the customer answers; yearly reviews by the customer."
    ),
    metadata=Base.metadata,
    tags=(
        ("agreements", "IAAs, contracts and memoranda between customer and provider."),
        ("slas", "SLAs with their metrics and the timeline of their reports."),
        ("observations", "What the provider's systems saw, taken in by the thousand."),
        ("results", "What the metrics come to: live, or as published."),
        ("reports", "SLA performance reports: drafted, published, acknowledged."),
        ("reviews", "The customer's yearly review of agreements and SLAs."),
    ),
)
ROUTERS = (
    agreements.router,
    slas.router,
    observations.router,
    results.router,
    reports.router,
    reviews.router,
)


def create_app(settings: Settings, bus: Bus | None = None, clock: Clock = system_clock) -> FastAPI:
    """The FastAPI application; `bus` and `clock` are the seams tests use."""
    handlers = {**directory.HANDLERS, **consumers.HANDLERS}
    return new_app(SERVICE, settings, routers=ROUTERS, handlers=handlers, timers=TIMERS, bus=bus, clock=clock)
