"""The changes service, composed."""

from pathlib import Path

from fastapi import FastAPI

from services.changes.base import Base
from services.changes.change_requests import api as change_requests
from services.changes.change_requests.service import SUBJECT as CHANGE_REQUEST
from services.changes.matters import api as matters
from services.changes.matters import due
from services.changes.matters.consumers import BY_EVENT as MATTERS_BY_EVENT
from services.changes.matters.domain.kinds import MatterKind
from services.changes.matters.service.subjects import IN_PROCESS
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
        "Whatever a body decides, routed to the lowest competent one: votes of both parties, decisions, "
        "escalations on a clock; and the change-request log."
    ),
    metadata=Base.metadata,
    versions=Path(__file__).parent / "migrations" / "versions",
    tags=(
        ("change_requests", "Change requests from submission to decision"),
        ("matters", "Whatever a body decides: who has it, until when, and who voted how"),
        ("decisions", "What both parties decided, over which text and by which right"),
        ("escalations", "Requests on their way up the bodies"),
    ),
)

IN_PROCESS[MatterKind.change_request] = CHANGE_REQUEST


def create_app(settings: Settings, bus: Bus | None = None, clock: Clock = system_clock) -> FastAPI:
    """The application; tests pass their own bus and clock."""
    return new_app(
        SERVICE,
        settings,
        routers=(change_requests.router, matters.matters, matters.decisions, matters.escalations),
        projections=(*directory.PROJECTIONS, MATTERS_BY_EVENT),
        due=due.KINDS,
        timers=(),
        bus=bus,
        clock=clock,
    )
