"""What a property-based client makes of each API document: answers keep to it, and nothing is a 5xx.

Two organizations ask: the customer, with real ids in most of the requests, and a stranger with the same ids.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shared.migrations import SERVICES
from tests.conftest import StartService
from tests.hostile.objects import COLLECTIONS, charter_of, one
from tests.hostile.routes import Route, document, routes_of
from tests.hostile.support import Ready, Stage, caller, staged, stranger, version_of

CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
BOUNDED = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
OWNER_OF = {
    "charter_id": "charters",
    "organization_id": "organizations",
    "customer_org_id": "organizations",
    "agreement_id": "agreements",
    "sla_id": "slas",
    "report_id": "reports",
    "change_id": "change_requests",
    "subject_id": "change_requests",
    "decision_id": "decisions",
    "escalation_id": "escalations",
    "alert_id": "alerts",
    "endpoint_id": "endpoints",
    "delivery_id": "deliveries",
    "dead_letter_id": "dead_letters",
    "member_id": "members",
}


@dataclass
class Client:
    """Sends generated requests to a service in this process, from tests that are not coroutines themselves."""

    stage: Stage
    loop: asyncio.AbstractEventLoop
    real: dict[str, str]

    def send(self, case: schemathesis.Case, route: Route, member: str) -> httpx.Response:
        return self.loop.run_until_complete(self._send(case, route, member))

    async def _send(self, case: schemathesis.Case, route: Route, member: str) -> httpx.Response:
        for values in (case.path_parameters, case.query, case.body):
            self._name_real_things(values)
        given = case.as_transport_kwargs(base_url="http://test")
        headers = {**given.get("headers", {}), **self.stage.headers(member)}
        if route.wants_version and headers.get("If-Match"):
            headers["If-Match"] = await self._version(route)
        content = {"content": given["data"]} if given.get("data") is not None else {"json": given.get("json")}
        return await self.stage.s.client.request(
            given["method"],
            given["url"],
            params=given.get("params"),
            headers={name: str(value).encode("utf-8", "replace") for name, value in headers.items()},
            **content,
        )

    def _name_real_things(self, values: Any) -> None:
        """Put real ids where ids are; every third stays made up."""
        if not isinstance(values, dict):
            return
        for name in self.real.keys() & values.keys():
            if _is_id(values[name]) and UUID(values[name]).int % 3:
                values[name] = self.real[name]

    async def _version(self, route: Route) -> str:
        ids = {name: self.real[name] for name in route.ids()}
        return await version_of(self.stage, Ready(route, caller(route.action, self.stage.victim), ids))


def _is_id(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(UUID(value))
    except ValueError:
        return False


@pytest.fixture(scope="module")
async def clients(start_service: StartService) -> AsyncIterator[dict[str, Client]]:
    """The four services with one object of everything, started one after the other."""
    async with (
        staged(start_service, "charter") as charter,
        staged(start_service, "sla") as sla,
        staged(start_service, "changes") as changes,
        staged(start_service, "notifier") as notifier,
    ):
        loop = asyncio.get_running_loop()
        stages = {stage.s.name: stage for stage in (charter, sla, changes, notifier)}
        yield {name: Client(stage, loop, await _real_ids(stage)) for name, stage in stages.items()}


async def _real_ids(stage: Stage) -> dict[str, str]:
    owned = {
        owner for route in routes_of(stage.s.name) for owner in route.ids().values()
    } & COLLECTIONS.keys()
    made = {owner: await one(stage, owner, stage.victim) for owner in owned}
    made["charters"] = await charter_of(stage, stage.victim)
    return {name: made[owner] for name, owner in OWNER_OF.items() if owner in made}


SCHEMAS = {service: schemathesis.openapi.from_dict(dict(document(service))) for service in SERVICES}
ROUTES = {
    (route.service, route.method, route.path): route for service in SERVICES for route in routes_of(service)
}
ASKING = pytest.mark.parametrize("asking", ["owner", "stranger"])


def ask(clients: dict[str, Client], service: str, case: schemathesis.Case, asking: str) -> None:
    route = ROUTES.get((service, case.method.upper(), case.operation.path))
    client = clients[service]
    if route is None:
        return  # the published keys, which need no caller
    member = (
        caller(route.action, client.stage.victim) if asking == "owner" else stranger(route.action, "other")
    )
    case.validate_response(client.send(case, route, member), checks=CHECKS)


@ASKING
@SCHEMAS["charter"].parametrize()
@BOUNDED
def test_the_charter_service_keeps_to_its_document(
    case: Any, clients: dict[str, Client], asking: str
) -> None:
    ask(clients, "charter", case, asking)


@ASKING
@SCHEMAS["sla"].parametrize()
@BOUNDED
def test_the_sla_service_keeps_to_its_document(case: Any, clients: dict[str, Client], asking: str) -> None:
    ask(clients, "sla", case, asking)


@ASKING
@SCHEMAS["changes"].parametrize()
@BOUNDED
def test_the_changes_service_keeps_to_its_document(
    case: Any, clients: dict[str, Client], asking: str
) -> None:
    ask(clients, "changes", case, asking)


@ASKING
@SCHEMAS["notifier"].parametrize()
@BOUNDED
def test_the_notifier_keeps_to_its_document(case: Any, clients: dict[str, Client], asking: str) -> None:
    ask(clients, "notifier", case, asking)
