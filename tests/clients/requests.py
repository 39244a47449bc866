"""One request that works for every operation of a service, in words that any language reads."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import uuid4

from tests.hostile.objects import ready
from tests.hostile.routes import Route, document, routes_of
from tests.hostile.support import Stage, version_of

REFUSED = {("charter", "replay_dead_letters_of_service"): 409}
"""Operations that every service has and that cannot work in each: charter consumes no events."""
METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Call:
    """An operation, everything its request needs, and the answer that says it worked."""

    operation: str
    tag: str
    method: str
    path: str
    status: int
    media: str
    token: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """By their names in the document."""
    places: Mapping[str, str] = field(default_factory=dict)
    """Where each parameter of the operation is sent, given or not: path, query or header."""
    body: Any = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


async def calls_of(stage: Stage) -> list[Call]:
    """In the order of the document. Each that changes something has an object of its own to change."""
    service = stage.s.name
    governed = {(route.path, route.method.lower()): route for route in routes_of(service)}
    return [
        await _call(stage, path, method, operation, governed.get((path, method)))
        for path, item in document(service)["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


async def _call(
    stage: Stage, path: str, method: str, operation: Mapping[str, Any], route: Route | None
) -> Call:
    status, answer = next((s, a) for s, a in operation["responses"].items() if s.startswith("2"))
    media = next(iter(answer.get("content", {"": None})))
    name, tag = operation["operationId"], operation["tags"][0]
    call = Call(name, tag, method, path, REFUSED.get((stage.s.name, name), int(status)), media)
    if route is None:
        return call
    request = await ready(stage, route)
    parameters = {**route.chosen(), **request.ids, **request.query}
    if route.wants_version:
        parameters["If-Match"] = await version_of(stage, request)
    if method == "post":
        parameters["Idempotency-Key"] = uuid4().hex
    token = stage.headers(request.member)["Authorization"].removeprefix("Bearer ")
    places = {each["name"]: each["in"] for each in operation.get("parameters", ())}
    filled = {"token": token, "parameters": parameters, "places": places, "body": request.body}
    return Call(**{**asdict(call), **filled})
