"""Each field of each body replaced by what does not belong there: taken only where the API document says so."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.calendars.zones import zone_named
from shared.pure.refusal import Refusal
from tests.hostile.conftest import StageOf
from tests.hostile.objects import ready
from tests.hostile.routes import Route, all_routes
from tests.hostile.samples import Field, fields, fits, inner_schema, replaced, resolved
from tests.hostile.support import Stage, ledger, refused, send, version_of
from tests.hostile.values import UNWRITABLE, hostile_values


def _once(routes: Iterable[Route]) -> list[Route]:
    """What every service has in the same words is tried in the first one only."""
    return list(
        {route.path.partition("/v1")[2] + route.method: route for route in reversed(list(routes))}.values()
    )


ROUTES = _once(route for route in all_routes() if route.takes == "json")


def own_fields() -> dict[Route, list[Field]]:
    """The fields of every body; what is a body of its own, or inside an earlier one, is tried there only."""
    seen = {(route.service, route.body_schema()["$ref"]) for route in ROUTES}
    own = {}
    for route in ROUTES:
        schema = route.body_schema()
        mine = [f for f in fields(route.service, schema) if not _is_elsewhere(route, f, schema, seen)]
        seen |= {(route.service, name) for name in _named(route, schema)}
        own[route] = mine
    return own


def _named(route: Route, schema: Any) -> Iterator[str]:
    for field in fields(route.service, schema):
        yield from _component(route.service, field)


def _component(service: str, field: Field) -> list[str]:
    choices = (
        field.schema,
        *field.schema.get("anyOf", ()),
        *resolved(service, field.schema).get("oneOf", ()),
    )
    return [each["$ref"] for each in choices if "$ref" in each]


def _is_elsewhere(route: Route, field: Field, schema: Any, seen: set[tuple[str, str]]) -> bool:
    """Whether the field lies inside a shape that was seen: the shape itself still gets its values here."""
    above = {f.place: f for f in fields(route.service, schema)}
    inside = [
        above[field.place[:depth]] for depth in range(1, len(field.place)) if field.place[:depth] in above
    ]
    return any((route.service, name) in seen for each in inside for name in _component(route.service, each))


FIELDS = own_fields()


def allowed(route: Route, field: Field, body: Any, value: object) -> bool:
    """Whether the document lets the body through, or one that says the same: see `_as_documented`."""
    schema, service = route.body_schema(), route.service
    if fits(route, replaced(service, schema, body, field.place, value)):
        return True
    if value is None and not _is_required(route, field):
        return True  # the same as leaving it out, which generated clients do
    return fits(route, replaced(service, schema, body, field.place, _as_documented(service, field, value)))


def _is_required(route: Route, field: Field) -> bool:
    schema: Any = route.body_schema()
    for step in field.place[:-1]:
        schema = inner_schema(route.service, schema, step)
    return field.place[-1] in resolved(route.service, schema).get("required", ())


def _as_documented(service: str, field: Field, value: object) -> object:
    """How the document would have it: ids in their usual form, decimals as text."""
    form = resolved(service, field.schema).get("format")
    if form == "decimal" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return str(UUID(value)) if form == "uuid" and isinstance(value, str) else value
    except ValueError:
        return value


class Attempts:
    """One route's requests: the object is made anew whenever one of them was taken."""

    def __init__(self, stage: Stage, route: Route) -> None:
        self.stage, self.route = stage, route
        self.wrong: list[tuple[str, object, int, str]] = []
        self.sent = 0

    async def start(self) -> None:
        self.ready = await ready(self.stage, self.route)
        self.etag = await version_of(self.stage, self.ready)
        self.before = await ledger(self.stage.s)

    async def attempt(self, field: Field, value: object) -> None:
        schema = self.route.body_schema()
        body = replaced(self.route.service, schema, self.ready.body, field.place, value)
        answer = await send(self.stage, self.ready.saying(body), etag=self.etag)
        self.sent += 1
        if answer.is_success and value in UNWRITABLE:
            self.wrong.append(
                (field.pointer, value, answer.status_code, "no terminal or database can hold it")
            )
        elif answer.is_success and not allowed(self.route, field, self.ready.body, value):
            self.wrong.append((field.pointer, value, answer.status_code, "the document forbids it"))
        elif not answer.is_success and not refused(answer):
            self.wrong.append((field.pointer, value, answer.status_code, answer.text[:200]))
        if answer.is_success:
            await self._go_on(answer)

    async def _go_on(self, answer: httpx.Response) -> None:
        """What was replaced can be replaced again; anything else needs a new object."""
        if self.route.method in ("PUT", "PATCH"):
            self.etag = answer.headers.get("ETag", self.etag)
            self.before = await ledger(self.stage.s)
        else:
            await self.start()

    async def settle(self) -> None:
        """What was refused must have left nothing; what was taken started a new count."""
        after = await ledger(self.stage.s)
        if after != self.before:
            grown = {
                name: after[name] - self.before[name] for name in after if after[name] != self.before[name]
            }
            self.wrong.append(("", "", 0, f"refused, yet stored: {grown}"))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_a_field_takes_only_what_the_document_allows(route: Route, stage_of: StageOf) -> None:
    attempts = Attempts(await stage_of(route.service), route)
    await attempts.start()
    for field in FIELDS[route]:
        for value in hostile_values(route.service, field):
            await attempts.attempt(field, value)
    await attempts.settle()
    assert not attempts.wrong, f"{len(attempts.wrong)} of {attempts.sent}"


def test_the_fields_of_nested_shapes_are_found() -> None:
    everywhere = {field.pointer for mine in FIELDS.values() for field in mine}
    assert {
        "/bodies/0/seats/0/role",
        "/metrics/0/rule/limits_by_priority/0/limit",
        "/priority/impact",
    } <= everywhere


@pytest.mark.parametrize(
    "zone", ["localtime", "posixrules", "America", "../etc/passwd", "/etc/localtime", "", "\x00", "."]
)
def test_a_zone_is_the_same_on_every_machine(zone: str) -> None:
    """A database host's own zone would move the windows of an SLA with the server it runs on."""
    with pytest.raises(Refusal, match="is not a known IANA time zone"):
        zone_named(zone)
