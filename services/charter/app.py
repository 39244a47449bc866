"""The charter service, put together."""

from pathlib import Path

from fastapi import FastAPI

from services.charter.base import Base
from services.charter.charters import api as charters
from services.charter.charters import due as charters_due
from services.charter.members import api as members
from services.charter.organizations import api as organizations
from services.charter.reviews import api as reviews
from services.charter.reviews import due as reviews_due
from services.charter.settings import Settings
from shared.messaging.bus import Bus
from shared.runtime.clock import Clock, system_clock
from shared.runtime.kernel import ServiceInfo
from shared.web.app import new_app

SERVICE = ServiceInfo(
    name="charter",
    title="Concordat charter service",
    description=(
        "Who governs, by which ratified text, and when that text is reviewed: organizations, members, "
        "the charter with its decision rights and escalation ladder, signatures and yearly reviews."
    ),
    metadata=Base.metadata,
    versions=Path(__file__).parent / "migrations" / "versions",
    tags=(
        ("organizations", "The agencies and providers that govern together."),
        ("members", "People of an organization and what they do for it."),
        ("charters", "The governance charter: draft, ratification, the text in force."),
        ("charter_reviews", "The yearly review of a charter, determined by both parties."),
    ),
)
ROUTERS = (organizations.router, members.router, charters.router, reviews.router)
# The charter service follows no other service: it is where everything starts.
DUE = (*charters_due.KINDS, *reviews_due.KINDS)


def create_app(settings: Settings, bus: Bus | None = None, clock: Clock = system_clock) -> FastAPI:
    """The FastAPI application; `bus` and `clock` are the seams tests use."""
    return new_app(SERVICE, settings, routers=ROUTERS, due=DUE, bus=bus, clock=clock)
