"""The notifier: turns events into alerts and delivers them to ticketing systems."""

from pathlib import Path

from fastapi import FastAPI

from services.notifier.alerts import api as alerts
from services.notifier.alerts import due as alerts_due
from services.notifier.base import Base
from services.notifier.channels.webhook import api as templates
from services.notifier.deliveries import api as deliveries
from services.notifier.deliveries import consumers as deliveries_consumers
from services.notifier.deliveries import due as deliveries_due
from services.notifier.deliveries.service.worker import DeliveryWorker
from services.notifier.endpoints import api as endpoints
from services.notifier.endpoints import due as endpoints_due
from services.notifier.rules import api as rules
from services.notifier.rules import consumers as rules_consumers
from services.notifier.settings import Settings
from services.notifier.tools import Tools
from shared.data import directory
from shared.messaging.bus import Bus
from shared.runtime.clock import Clock, system_clock
from shared.runtime.kernel import ServiceInfo
from shared.web.app import new_app

SERVICE = ServiceInfo(
    name="notifier",
    title="Concordat notifier",
    description="Alerts of an organization, and their delivery to its ticketing systems as signed webhooks.",
    metadata=Base.metadata,
    versions=Path(__file__).parent / "migrations" / "versions",
    tags=(
        ("alerts", "What needs a person"),
        ("endpoints", "Where alerts are delivered"),
        ("deliveries", "What was sent and what came of it"),
        ("rules", "Which event opens or resolves which alert"),
        ("templates", "The bodies ticketing systems are sent"),
    ),
)
ROUTERS = (alerts.router, endpoints.router, deliveries.router, rules.router, templates.router)
PROJECTIONS = (*directory.PROJECTIONS, rules_consumers.ALERTS, deliveries_consumers.ALERT_CHANGES)


def create_app(settings: Settings, bus: Bus | None = None, clock: Clock = system_clock) -> FastAPI:
    """The application; its delivery worker starts with the other background work."""
    tools = Tools(settings=settings, vault=settings.vault(), clock=clock)
    app = new_app(
        SERVICE,
        settings,
        routers=ROUTERS,
        projections=PROJECTIONS,
        timers=(*deliveries_due.timers(tools.real_time), *endpoints_due.timers(tools.vault)),
        due=alerts_due.KINDS,
        bus=bus,
        clock=clock,
        workers=lambda kernel: (DeliveryWorker(kernel.database, tools),),
    )
    app.state.delivery_tools = tools
    return app
