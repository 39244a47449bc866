"""The sla service, put together: its features, their routes and what is due in them."""

from pathlib import Path

from fastapi import FastAPI

from services.sla.agreements import api as agreements
from services.sla.base import Base
from services.sla.observations import api as observations
from services.sla.reports import api as reports
from services.sla.reports import due as reports_due
from services.sla.results import api as results
from services.sla.reviews import api as reviews
from services.sla.reviews import due as reviews_due
from services.sla.settings import Settings
from services.sla.slas import api as slas
from services.sla.slas import due as slas_due
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
    versions=Path(__file__).parent / "migrations" / "versions",
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
DUE = (*slas_due.KINDS, *reports_due.KINDS, *reviews_due.KINDS)


def create_app(settings: Settings, bus: Bus | None = None, clock: Clock = system_clock) -> FastAPI:
    """The FastAPI application; `bus` and `clock` are the seams tests use."""
    return new_app(
        SERVICE,
        settings,
        routers=ROUTERS,
        projections=directory.PROJECTIONS,
        due=DUE,
        bus=bus,
        clock=clock,
    )
