"""Every service's API document: valid, guarded, and shaped for generated clients in any language."""

import copy
import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from concordat.reference.openapi_30 import to_openapi_30
from concordat.reference.sources import Route, app_of, installed, routes_of
from shared.web.auth import allow
from shared.web.authz import Action, Principal
from shared.web.openapi import constant_name, shape_for_clients
from shared.web.problems import MEDIA_TYPE
from shared.web.route import GovernedRoute, new_router

SERVICES = installed()
METHODS = ("get", "post", "put", "patch", "delete")
OPEN = ("healthz", "readyz", "metrics", "docs", "docs/{asset}", "v1/audit/keys")
"""The only routes below `/{service}/` that anybody may call."""
SNAKE = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")
PLAIN = ("string", "integer", "number", "boolean")
ON_A_RESOURCE = re.compile(r"\{[a-z_]+\}")
LATER_THAN_30 = {
    *("const", "propertyNames", "patternProperties", "prefixItems", "contentMediaType", "contentEncoding"),
    *("$defs", "$schema", "$id", "if", "then", "else", "unevaluatedProperties", "dependentRequired"),
}
PYTHON_BOUNDS = {
    "ge",
    "gt",
    "le",
    "lt",
    "min_length",
    "max_length",
    "multiple_of",
    "max_digits",
    "decimal_places",
}
Operation = tuple[str, str, dict[str, Any]]

pytestmark = pytest.mark.parametrize("service", SERVICES)


def operations(service: str) -> list[Operation]:
    paths = app_of(service).openapi()["paths"]
    return [
        (path, method, item[method]) for path, item in paths.items() for method in METHODS if method in item
    ]


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every object below a node, schemas among them; the values of `enum`, `default` and `example` left out."""
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key not in ("enum", "default", "example", "examples"):
                yield from schemas(value)
    elif isinstance(node, list):
        for item in node:
            yield from schemas(item)


def documented(service: str) -> list[RouteContext]:
    return [
        context
        for context in iter_route_contexts(app_of(service).routes)
        if isinstance(context.original_route, APIRoute) and context.include_in_schema
    ]


def test_the_document_is_valid_openapi_31(service: str) -> None:
    document = app_of(service).openapi()
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_no_python_argument_leaks_into_a_schema(service: str) -> None:
    """A bound that pydantic cannot place (on `int | None`, say) appears under its Python name and binds nobody."""
    for node in schemas(app_of(service).openapi()):
        leaked = {key for key in node.keys() & PYTHON_BOUNDS if not isinstance(node[key], dict)}
        assert not leaked, node


def test_the_twin_is_valid_openapi_303(service: str) -> None:
    twin = to_openapi_30(app_of(service).openapi())
    assert twin["openapi"] == "3.0.3"
    assert [error.message for error in OpenAPIV30SpecValidator(twin).iter_errors()] == []


def test_the_twin_says_nothing_that_30_does_not_know(service: str) -> None:
    twin = to_openapi_30(app_of(service).openapi())
    assert "webhooks" not in twin
    for node in schemas(twin):
        later = {key for key in node.keys() & LATER_THAN_30 if not _is_a_name(node, key)}
        assert not later, node
        assert node != {"type": "null"}
        assert not isinstance(node.get("type"), list)
        assert not isinstance(node.get("exclusiveMinimum"), float | int) or node["exclusiveMinimum"] is True
        assert not isinstance(node.get("$ref"), str) or len(node) == 1, node
        assert not isinstance(node.get("examples"), list)


def _is_a_name(node: dict[str, Any], key: str) -> bool:
    """Whether the key is the name of a property, which may be anything."""
    return isinstance(node[key], dict) and bool({"type", "$ref", "anyOf", "allOf"} & node[key].keys())


def test_the_twin_keeps_every_operation_and_schema(service: str) -> None:
    document = app_of(service).openapi()
    twin = to_openapi_30(document)
    assert twin["paths"].keys() == document["paths"].keys()
    assert twin["components"]["schemas"].keys() == document["components"]["schemas"].keys()


def test_operation_ids_are_the_names_of_the_functions(service: str) -> None:
    functions = {
        (str(context.path), method.lower()): context.endpoint.__name__
        for context in documented(service)
        if context.endpoint
        for method in context.methods or ()
    }
    assert {(path, method): each["operationId"] for path, method, each in operations(service)} == functions


def test_operation_ids_are_unique_and_snake_case(service: str) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(service)]
    assert len(ids) == len(set(ids))
    assert [each for each in ids if not SNAKE.match(each)] == []


def test_every_operation_has_one_declared_tag(service: str) -> None:
    declared = {tag["name"] for tag in app_of(service).openapi()["tags"] if tag["description"]}
    for path, _, operation in operations(service):
        assert len(operation["tags"]) == 1, path
        assert set(operation["tags"]) <= declared, path


def test_every_declared_tag_is_used(service: str) -> None:
    declared = {tag["name"] for tag in app_of(service).openapi()["tags"]}
    assert declared == {tag for _, _, operation in operations(service) for tag in operation["tags"]}


def test_every_operation_wants_a_bearer_token_unless_it_is_open(service: str) -> None:
    assert app_of(service).openapi()["security"] == [{"bearer": []}]
    for path, _, operation in operations(service):
        is_open = path.removeprefix(f"/{service}/") in OPEN
        assert operation.get("security", "inherited") == ([] if is_open else "inherited"), path


def test_every_error_is_a_documented_problem(service: str) -> None:
    for path, method, operation in operations(service):
        errors = {status: each for status, each in operation["responses"].items() if int(status) >= 400}
        assert {"400", "401", "403", "404", "409", "412", "422", "428", "503"} <= errors.keys(), (
            path,
            method,
        )
        for answer in errors.values():
            assert answer["content"] == {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_enums_are_strings(service: str) -> None:
    for node in schemas(app_of(service).openapi()):
        values = [*(node.get("enum") or ()), *([node["const"]] if isinstance(node.get("const"), int) else [])]
        assert [value for value in values if not isinstance(value, str)] == [], node


def test_fields_are_snake_case(service: str) -> None:
    for node in schemas(app_of(service).openapi()):
        names = node.get("properties", {})
        assert [name for name in names if not SNAKE.match(name)] == []


def test_paths_and_parameters_are_snake_case(service: str) -> None:
    for path, _, operation in operations(service):
        segments = re.sub(r"\.(csv|html|pdf|docx|xlsx|ics)$", "", path).strip("/").split("/")
        assert [each for each in segments if not SNAKE.match(each.strip("{}"))] == [], path
        given = [each["name"] for each in operation.get("parameters", ()) if each["in"] != "header"]
        assert [each for each in given if not SNAKE.match(each)] == [], path


def test_paths_begin_with_the_service_and_its_major_version(service: str) -> None:
    assert [path for path, _, _ in operations(service) if not path.startswith(f"/{service}/v1/")] == []


def test_changes_of_an_existing_resource_take_if_match(service: str) -> None:
    """What only adds (201, `create_`, `comment_`: several people may at once), queues work (202) or reads does not."""
    policies = {(route.path, route.method.lower()): route.action for route in routes_of(app_of(service))}
    for path, method, operation in operations(service):
        action = policies[path, method]
        adds = (
            operation["operationId"].startswith(("create_", "comment_"))
            or {"201", "202"} & operation["responses"].keys()
        )
        if method == "get" or adds or not ON_A_RESOURCE.search(path) or (action and action.reads):
            continue
        names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "header"]
        assert "If-Match" in names, f"{method} {path}"


def test_no_component_is_named_by_a_tool(service: str) -> None:
    names = app_of(service).openapi()["components"]["schemas"]
    assert [name for name in names if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name)] == []


# Generated clients: what compiles in Java, Go, C# and TypeScript with the generators' default options


def test_constants_of_enums_have_names_of_their_own(service: str) -> None:
    """Go has one space of names for all of them."""
    schemas = app_of(service).openapi()["components"]["schemas"]
    enums = {name: schema for name, schema in schemas.items() if "enum" in schema}
    names = [name for schema in enums.values() for name in schema["x-enum-varnames"]]
    assert [
        name for name, schema in enums.items() if len(schema["enum"]) != len(schema["x-enum-varnames"])
    ] == []
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [name for name in names if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name)] == []


@pytest.mark.parametrize(
    ("enum", "value", "name"),
    [
        ("Severity", "low", "SEVERITY_LOW"),
        ("ZeroVolume", "no_data", "ZERO_VOLUME_NO_DATA"),
        ("SLAState", "in-force", "SLASTATE_IN_FORCE"),
        ("T1Band", "a b", "T1_BAND_A_B"),
    ],
)
def test_a_constant_is_named_after_its_enum_and_value(service: str, enum: str, value: str, name: str) -> None:
    assert constant_name(enum, value) == name


def test_no_field_has_a_default(service: str) -> None:
    """TypeScript would demand it; an object or a constant as a default is no expression in Go and Java."""
    for node in schemas(app_of(service).openapi()["components"]["schemas"]):
        for name, field in node.get("properties", {}).items():
            assert "default" not in field, (name, field)


def test_a_parameter_has_a_plain_default_or_none(service: str) -> None:
    for path, _, operation in operations(service):
        for each in operation.get("parameters", ()):
            schema = each["schema"]
            assert "default" not in schema or schema.get("type") in PLAIN, (path, each)


def test_an_object_has_fields_or_says_that_any_may_be_there(service: str) -> None:
    """TypeScript would let nothing be there."""
    for node in schemas(app_of(service).openapi()):
        assert node.get("type") != "object" or {"properties", "additionalProperties"} & node.keys(), node


def test_every_answer_says_what_it_is(service: str) -> None:
    """Without a schema a client throws the answer away."""
    for path, method, operation in operations(service):
        assert "content" in operation["responses"].get("200", {"content": {}}), (path, method)
        for answer in operation["responses"].values():
            assert [
                media for media, body in answer.get("content", {}).items() if "schema" not in body
            ] == [], (
                path,
                method,
            )


PLANTED: dict[str, Any] = {
    "components": {
        "schemas": {
            "Level": {"type": "string", "enum": ["low", "very_high"]},
            "Form": {
                "required": ["kept"],
                "properties": {
                    "level": {"$ref": "#/components/schemas/Level", "default": "low"},
                    "options": {"type": "object", "default": {"a": []}, "description": "What else."},
                    "kept": {"type": "integer", "default": 3},
                    "default": {"type": "string"},
                },
            },
        }
    },
    "paths": {
        "/x": {
            "get": {
                "parameters": [
                    {
                        "name": "a",
                        "in": "query",
                        "schema": {"$ref": "#/components/schemas/Level", "default": "low"},
                    },
                    {"name": "b", "in": "query", "schema": {"type": "integer", "default": 50}},
                ]
            }
        }
    },
}


def test_a_default_moves_into_words(service: str) -> None:
    document = copy.deepcopy(PLANTED)
    shape_for_clients(document)
    level, form = document["components"]["schemas"].values()
    assert level["x-enum-varnames"] == ["LEVEL_LOW", "LEVEL_VERY_HIGH"]
    assert form["properties"] == {
        "level": {"$ref": "#/components/schemas/Level", "description": 'Left out, it is `"low"`.'},
        "options": {
            "type": "object",
            "additionalProperties": True,
            "description": 'What else. Left out, it is `{"a": []}`.',
        },
        "kept": {"type": "integer"},
        "default": {"type": "string"},
    }
    by_enum, plain = document["paths"]["/x"]["get"]["parameters"]
    assert "default" not in by_enum["schema"]
    assert plain["schema"]["default"] == 50


# Policies


def unguarded(app: FastAPI, service: str) -> list[str]:
    """Routes without a policy that are not declared open, and those that open no transaction as the caller."""
    free = {f"/{service}/{name}" for name in OPEN}
    bare = [route.path for route in routes_of(app) if route.action is None]
    loose = [
        str(context.path)
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        and not isinstance(context.original_route, GovernedRoute)
    ]
    return sorted({*bare, *loose} - free)


def test_every_route_carries_a_policy(service: str) -> None:
    assert unguarded(app_of(service), service) == []


def test_only_the_declared_routes_are_open(service: str) -> None:
    open_paths = [route.path for route in routes_of(app_of(service)) if route.action is None]
    assert sorted(open_paths) == sorted(f"/{service}/{name}" for name in OPEN)


READ = Action("thing.read")


async def _endpoint() -> None: ...


async def _guarded(caller: Annotated[Principal, allow(READ)]) -> None: ...


async def _needs_caller(caller: Annotated[Principal, allow(READ)]) -> None: ...


async def _guarded_indirectly(nothing: Annotated[None, Depends(_needs_caller)]) -> None: ...


def planted(router: APIRouter, service: str) -> FastAPI:
    """An application with a router two inclusions deep, as large services have."""
    outer = APIRouter(prefix=f"/{service}")
    outer.include_router(router)
    app = FastAPI()
    app.include_router(outer)
    return app


def test_the_guard_sees_a_route_without_a_policy(service: str) -> None:
    router = new_router("things", prefix="/v1")
    router.get("/guarded")(_guarded)
    router.get("/indirect")(_guarded_indirectly)
    outside = APIRouter()
    outside.get("/forgotten")(_endpoint)
    router.include_router(outside)
    assert unguarded(planted(router, service), service) == [f"/{service}/v1/forgotten"]


def test_the_guard_sees_a_policy_that_nobody_enforces(service: str) -> None:
    """Outside a governed route there is no caller to check."""
    router = APIRouter()
    router.get("/healthz")(_endpoint)
    router.get("/loose")(_guarded)
    assert unguarded(planted(router, service), service) == [f"/{service}/loose"]


def test_the_walk_reads_the_policy_of_each_method(service: str) -> None:
    router = new_router("things", prefix="/v1")
    router.api_route("/things", methods=["GET", "DELETE"])(_guarded)
    path = f"/{service}/v1/things"
    assert routes_of(planted(router, service)) == [
        Route("DELETE", path, "_guarded", READ),
        Route("GET", path, "_guarded", READ),
    ]
