"""Every governed route of every service, read from the applications: nothing here is listed by hand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from concordat.reference.sources import app_of
from services.registry import SERVICES
from shared.web.auth import Allow
from shared.web.authz import Action
from shared.web.route import GovernedRoute

Takes = Literal["nothing", "json", "stream"]


@dataclass(frozen=True)
class Route:
    """One operation. `takes` tells a JSON body from one that is read as it streams in."""

    service: str
    method: str
    path: str
    name: str
    takes: Takes
    action: Action = field(hash=False)
    operation: Mapping[str, Any] = field(hash=False, compare=False, repr=False)

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        return not self.action.reads

    @property
    def wants_version(self) -> bool:
        return any(each["name"].lower() == "if-match" for each in self.parameters("header"))

    def parameters(self, place: str) -> list[Mapping[str, Any]]:
        return [each for each in self.operation.get("parameters", ()) if each["in"] == place]

    def ids(self) -> dict[str, str]:
        """The ids in the path: parameter name to the collection it is an id of."""
        uuids = {each["name"] for each in self.parameters("path") if is_uuid(each["schema"])}
        segments = [segment.partition(".")[0] for segment in self.path.split("/")]
        before = {segment.strip("{}"): owner for owner, segment in pairwise(segments)}
        return {name: before[name] for name in before if name in uuids}

    def query_ids(self) -> list[str]:
        """The query parameters that take an id."""
        return [each["name"] for each in self.parameters("query") if is_uuid(each["schema"])]

    def at(self, ids: Mapping[str, object]) -> str:
        """The path with its placeholders filled."""
        return self.path.format_map({**self.chosen(), **{key: str(value) for key, value in ids.items()}})

    def chosen(self) -> dict[str, str]:
        """Path parameters that are one of a few words, such as the name of a template: the first."""
        components = document(self.service)["components"]["schemas"]
        shapes = {}
        for each in self.parameters("path"):
            schema = each["schema"]
            named = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            if "enum" in named:
                shapes[each["name"]] = named["enum"][0]
        return shapes

    def body_schema(self) -> Mapping[str, Any]:
        content = self.operation["requestBody"]["content"]["application/json"]
        schema: Mapping[str, Any] = content["schema"]
        return schema


def is_uuid(schema: Mapping[str, Any]) -> bool:
    choices = schema.get("anyOf", [schema])
    return any(each.get("format") == "uuid" for each in choices)


@lru_cache
def document(service: str) -> Mapping[str, Any]:
    """The API document of one service."""
    api: Mapping[str, Any] = app_of(service).openapi()
    return api


@lru_cache
def routes_of(service: str) -> tuple[Route, ...]:
    """The governed routes of one service, in order of declaration."""
    return tuple(_walk(service))


def all_routes() -> list[Route]:
    return [route for service in SERVICES for route in routes_of(service)]


def _walk(service: str) -> Iterator[Route]:
    for context in iter_route_contexts(app_of(service).routes):
        origin = context.original_route
        if not isinstance(origin, GovernedRoute):
            continue
        for method in sorted(context.methods or ()):
            operation = document(service)["paths"][str(context.path)][method.lower()]
            action = next(_policies(context.dependant))
            yield Route(
                service,
                method,
                str(context.path),
                str(context.name),
                _takes(origin, context),
                action,
                operation,
            )


def _takes(origin: APIRoute, context: RouteContext) -> Takes:
    if origin.body_field is not None:
        return "json"
    return "stream" if "requestBody" in (origin.openapi_extra or {}) else "nothing"


def _policies(dependant: Dependant) -> Iterator[Action]:
    if isinstance(dependant.call, Allow):
        yield dependant.call.action
    for inner in dependant.dependencies:
        yield from _policies(inner)
