"""The walk itself: it sees every route, can make an object for every id, and knows a request that works."""

from collections.abc import AsyncIterator

import pytest

from services.registry import SERVICES
from tests.conftest import StartService
from tests.hostile.objects import COLLECTIONS, REQUESTS, ready
from tests.hostile.routes import Route, all_routes, document, routes_of
from tests.hostile.support import Stage, send, staged

pytestmark = pytest.mark.guard

REFUSED = {"/charter/v1/dead_letters/replay": "no_consumer"}
"""What no request can do: the charter service listens to nobody."""


@pytest.fixture(scope="module", params=SERVICES)
async def stage(request: pytest.FixtureRequest, start_service: StartService) -> AsyncIterator[Stage]:
    async with staged(start_service, request.param) as made:
        yield made


@pytest.mark.parametrize("service", SERVICES)
def test_the_walk_sees_every_documented_operation_that_needs_a_caller(service: str) -> None:
    operations = {
        (method.upper(), path)
        for path, item in document(service)["paths"].items()
        for method, operation in item.items()
        if operation.get("security") != []
    }
    assert {(route.method, route.path) for route in routes_of(service)} == operations


@pytest.mark.parametrize("route", all_routes(), ids=lambda route: route.label)
def test_an_object_can_be_made_for_every_id_a_path_takes(route: Route) -> None:
    lacking = {owner for owner in route.ids().values() if owner not in COLLECTIONS}
    assert not lacking, f"teach tests/hostile/objects.py to make one of {lacking}"


def test_no_table_names_what_no_route_has() -> None:
    owners = {owner for route in all_routes() for owner in route.ids().values()}
    assert COLLECTIONS.keys() == owners
    assert REQUESTS.keys() <= {route.name for route in all_routes()}


async def test_every_request_that_is_to_be_spoiled_works_before(stage: Stage) -> None:
    """A spoiled request that would be refused anyway proves nothing."""
    failed = {}
    for route in routes_of(stage.s.name):
        answer = await send(stage, await ready(stage, route))
        if not answer.is_success and answer.json()["code"] != REFUSED.get(route.path):
            failed[route.label] = answer.text
    assert not failed, "teach tests/hostile/objects.py a request that works"
