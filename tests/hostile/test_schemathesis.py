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
from schemathesis.config import SchemathesisConfig
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.registry import SERVICES
from tests.conftest import StartService
from tests.hostile.objects import COLLECTIONS, charter_of, one
from tests.hostile.routes import Route, document, routes_of
from tests.hostile.support import Ready, Stage, caller, raw, staged, stranger, version_of

Case = schemathesis.Case[Any]
CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
REFUSALS = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 428]
CONFIG = {
    "generation": {"with-security-parameters": False},
    "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
}
BRIEF = CONFIG | {"phases": {"coverage": {"enabled": False}}}
"""For the stranger, who gets no further than the policy: without a case for every bound of every field."""


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples,
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
    "matter_id": "matters",
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
    sent: int = 0

    def send(self, case: Case, route: Route, member: str) -> httpx.Response:
        return self.loop.run_until_complete(self._send(case, route, member))

    async def _send(self, case: Case, route: Route, member: str) -> httpx.Response:
        self.sent += 1
        if self.sent % 4:
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
            headers=raw({name: str(value) for name, value in headers.items()}),
            **content,
        )

    def _name_real_things(self, values: Any) -> None:
        """Put real ids where ids are; every fourth request keeps the made-up ones."""
        if not isinstance(values, dict):
            return
        for name in self.real.keys() & values.keys():
            if _is_id(values[name]):
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


ROUTES = {
    (route.service, route.method, route.path): route for service in SERVICES for route in routes_of(service)
}


def schema(service: str, config: dict[str, Any]) -> schemathesis.BaseSchema:
    """The document without its security: tokens have tests of their own."""
    open_document = {name: part for name, part in document(service).items() if name != "security"}
    return schemathesis.openapi.from_dict(open_document, config=SchemathesisConfig.from_dict(config))


def ask(clients: dict[str, Client], service: str, case: Case, *, as_owner: bool) -> None:
    route = ROUTES.get((service, case.method.upper(), case.operation.path))
    client = clients[service]
    if route is None:
        return  # the published keys, which need no caller
    member = caller(route.action, client.stage.victim) if as_owner else stranger(route.action, "other")
    case.validate_response(client.send(case, route, member), checks=CHECKS)


@schema("charter", CONFIG).parametrize()
@bounded(12)
def test_the_charter_service_keeps_to_its_document(case: Any, clients: dict[str, Client]) -> None:
    ask(clients, "charter", case, as_owner=True)


@schema("charter", BRIEF).parametrize()
@bounded(6)
def test_the_charter_service_keeps_to_its_document_for_a_stranger(
    case: Any, clients: dict[str, Client]
) -> None:
    ask(clients, "charter", case, as_owner=False)


@schema("sla", CONFIG).parametrize()
@bounded(12)
def test_the_sla_service_keeps_to_its_document(case: Any, clients: dict[str, Client]) -> None:
    ask(clients, "sla", case, as_owner=True)


@schema("sla", BRIEF).parametrize()
@bounded(6)
def test_the_sla_service_keeps_to_its_document_for_a_stranger(case: Any, clients: dict[str, Client]) -> None:
    ask(clients, "sla", case, as_owner=False)


@schema("changes", CONFIG).parametrize()
@bounded(12)
def test_the_changes_service_keeps_to_its_document(case: Any, clients: dict[str, Client]) -> None:
    ask(clients, "changes", case, as_owner=True)


@schema("changes", BRIEF).parametrize()
@bounded(6)
def test_the_changes_service_keeps_to_its_document_for_a_stranger(
    case: Any, clients: dict[str, Client]
) -> None:
    ask(clients, "changes", case, as_owner=False)


@schema("notifier", CONFIG).parametrize()
@bounded(12)
def test_the_notifier_keeps_to_its_document(case: Any, clients: dict[str, Client]) -> None:
    ask(clients, "notifier", case, as_owner=True)


@schema("notifier", BRIEF).parametrize()
@bounded(6)
def test_the_notifier_keeps_to_its_document_for_a_stranger(case: Any, clients: dict[str, Client]) -> None:
    ask(clients, "notifier", case, as_owner=False)


@pytest.mark.parametrize("service", SERVICES)
def test_a_walk_from_answer_to_request_keeps_to_the_document(
    service: str, clients: dict[str, Client]
) -> None:
    """Requests made of what earlier answers said: ids, states, versions."""

    class Walk(schema(service, BRIEF).as_state_machine()):  # type: ignore[misc]
        def call(self, case: Case, **kwargs: Any) -> Response:
            route = ROUTES.get((service, case.method.upper(), case.operation.path), KEYS_ROUTE[service])
            client = clients[service]
            member = caller(route.action, client.stage.victim)
            return Response.from_httpx(client.send(case, route, member), verify=False)

        def validate_response(self, response: Response, case: Case, **kwargs: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    Walk.run(settings=settings(bounded(8), stateful_step_count=10))


KEYS_ROUTE = {service: routes_of(service)[0] for service in SERVICES}
"""For the operation without a policy, any route: the caller does not matter there."""
