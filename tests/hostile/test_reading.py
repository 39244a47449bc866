"""What every route that reads has in common: HEAD, conditional requests, and a query taken at its word."""

import json
from typing import Any

import pytest

from tests.hostile.conftest import StageOf
from tests.hostile.objects import ready
from tests.hostile.routes import Route, all_routes, document
from tests.hostile.support import Ready, Stage, is_problem, ledger, send

ROUTES = all_routes()
READS = [route for route in ROUTES if route.method == "GET"]
OPEN = ("healthz", "readyz", "metrics", "openapi.json", "v1/audit/keys")


async def head(stage: Stage, works: Ready) -> tuple[int, bytes, dict[str, str]]:
    answer = await stage.s.client.head(
        works.path, headers=stage.headers(works.member), params=works.query or None
    )
    return answer.status_code, answer.content, dict(answer.headers)


@pytest.mark.parametrize("route", READS, ids=lambda route: route.label)
async def test_head_has_the_headers_of_get_and_no_body(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    answer = await send(stage, works)
    status, content, headers = await head(stage, works)
    assert (status, content) == (answer.status_code, b"")
    own = dict(answer.headers)
    assert headers.pop("x-request-id") != own.pop("x-request-id")
    assert headers == own


@pytest.mark.parametrize("service", ["charter", "sla", "changes", "notifier"])
async def test_head_is_answered_where_nobody_signs_in(service: str, stage_of: StageOf) -> None:
    stage = await stage_of(service)
    for name in OPEN:
        answer = await stage.s.client.head(f"/{service}/{name}")
        assert (answer.status_code, answer.content) == (200, b""), name
    nowhere = await stage.s.client.head(f"/{service}/v1/nowhere")
    assert (nowhere.status_code, nowhere.content) == (404, b"")


@pytest.mark.parametrize("service", ["charter", "sla", "changes", "notifier"])
async def test_a_path_that_can_be_read_says_that_it_takes_head(service: str, stage_of: StageOf) -> None:
    stage = await stage_of(service)
    answer = await stage.s.client.put(f"/{service}/healthz")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("route", READS, ids=lambda route: route.label)
async def test_what_the_client_has_already_is_not_sent_again(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    answer = await send(stage, works)
    tag = answer.headers.get("etag")
    if tag is None:
        assert ".csv" in route.path or ".html" in route.path or "export" in route.path, "JSON has an ETag"
        return
    for condition in (tag, f'"other", {tag}', f"W/{tag.removeprefix('W/')}", "*"):
        again = await send(stage, works, headers={"If-None-Match": condition})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), condition
    for condition in ('"other"', "", "other", tag.strip('"')):
        again = await send(stage, works, headers={"If-None-Match": condition})
        assert (again.status_code, again.text) == (200, answer.text), condition


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_a_parameter_nobody_knows_is_refused_by_name(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    before = await ledger(stage.s)
    known = [each["name"] for each in route.parameters("query")]
    for name in ("severty", "State", "form", "a/b~c", "", "é"):
        answer = await send(stage, works, query={**works.query, name: "1"})
        assert (answer.status_code, is_problem(answer)) == (422, True), name
        [error] = answer.json()["errors"]
        assert error["code"] == "unknown_parameter"
        assert error["pointer"] == "/query/" + name.replace("~", "~0").replace("/", "~1")
        assert all(each in error["message"] for each in known)
    assert await ledger(stage.s) == before


@pytest.mark.parametrize("route", READS, ids=lambda route: route.label)
async def test_a_parameter_of_one_value_is_refused_when_given_twice(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    for each in route.parameters("query"):
        if _takes_several(each["schema"]):
            continue
        name = each["name"]
        pairs = [(name, "1"), (name, "1"), *((k, v) for k, v in works.query.items() if k != name)]
        answer = await stage.s.client.get(works.path, headers=stage.headers(works.member), params=pairs)
        assert answer.status_code == 422, name
        errors = [(error["code"], error["pointer"]) for error in answer.json()["errors"]]
        assert errors == [("repeated_parameter", f"/query/{name}")], json.dumps(errors)


@pytest.mark.parametrize("route", READS, ids=lambda route: route.label)
async def test_an_empty_cursor_is_the_beginning(route: Route, stage_of: StageOf) -> None:
    if "cursor" not in {each["name"] for each in route.parameters("query")}:
        return
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    first = await send(stage, works)
    assert (await send(stage, works, query={**works.query, "cursor": ""})).text == first.text


@pytest.mark.parametrize("route", READS, ids=lambda route: route.label)
async def test_a_filter_of_several_values_takes_any_of_them(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    for each in route.parameters("query"):
        values = _values(route, each["schema"])
        if not values or each["name"] in works.query:
            continue
        apart = [await _ids(stage, works, [(each["name"], value)]) for value in values]
        together = await _ids(stage, works, [(each["name"], value) for value in values])
        assert together == set().union(*apart), each["name"]


async def _ids(stage: Stage, works: Ready, pairs: list[tuple[str, str]]) -> set[str]:
    """The lines or items of an answer."""
    query = [*works.query.items(), *pairs]
    if "limit" in {each["name"] for each in works.route.parameters("query")}:
        query.append(("limit", "1000"))
    answer = await stage.s.client.get(works.path, headers=stage.headers(works.member), params=query)
    assert answer.status_code == 200, answer.text
    if "json" in answer.headers["content-type"]:
        return {json.dumps(item, sort_keys=True) for item in answer.json()["items"]}
    return set(answer.text.splitlines())


def _values(route: Route, schema: dict[str, Any]) -> list[str]:
    """Every word that a filter of several words takes; none for other filters."""
    if not _takes_several(schema):
        return []
    item = schema["items"]
    named = document(route.service)["components"]["schemas"]
    return list(
        named[item["$ref"].rpartition("/")[2]].get("enum", ()) if "$ref" in item else item.get("enum", ())
    )


def _takes_several(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "array"
