"""The changes service, composed."""

from pathlib import Path

from fastapi import FastAPI

from services.changes.base import Base
from services.changes.change_requests import api as change_requests
from services.changes.matters import api as matters
from services.changes.matters import due
from services.changes.settings import Settings
from shared.data import directory
from shared.messaging.bus import Bus
from shared.runtime.clock import Clock, system_clock
from shared.runtime.kernel import ServiceInfo
from shared.web.app import new_app

SERVICE = ServiceInfo(
    name="changes",
    title="Concordat Changes",
    description=(
        "The change-request log: routing to the lowest competent body, ballots of both parties, "
        "decisions, and escalations on a clock."
    ),
    metadata=Base.metadata,
    versions=Path(__file__).parent / "migrations" / "versions",
    tags=(
        ("change_requests", "Change requests from submission to decision"),
        ("decisions", "What both parties decided, over which text and by which right"),
        ("escalations", "Requests on their way up the bodies"),
    ),
)


def create_app(settings: Settings, bus: Bus | None = None, clock: Clock = system_clock) -> FastAPI:
    """The application; tests pass their own bus and clock."""
    return new_app(
        SERVICE,
        settings,
        routers=(change_requests.router, matters.decisions, matters.escalations),
        handlers=directory.HANDLERS,
        timers=due.TIMERS,
        bus=bus,
        clock=clock,
    )
