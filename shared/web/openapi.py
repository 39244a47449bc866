"""The API document, shaped for generated clients: problem+json errors, one security scheme, stable names."""

import json
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from shared.web.problems import MEDIA_TYPE, Problem

_DOCUMENTED = {
    "400": "The request cannot be read",
    "401": "No valid bearer token",
    "403": "Visible to you, but not yours to do",
    "404": "Missing, or not to be seen by you",
    "409": "A rule or a concurrent change refuses",
    "412": "It changed since you read it",
    "413": "The body is too large",
    "415": "Send application/json",
    "422": "The request does not fit; see errors",
    "428": "Send If-Match",
    "503": "A dependency is down; repeat later",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A key of your choice: the same request with the same key has its effect once.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
FREE_OR_NOT = {"properties", "additionalProperties", "allOf"}
LOCAL_TIME = r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$"
_TEXTS = {"csv": "text/csv", "html": "text/html"}
"""What an address that ends so answers with."""
_METHODS = ("get", "post", "put", "patch", "delete")


def install(app: FastAPI) -> None:
    """Replace FastAPI's document by ours (cached after the first call)."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=[{"url": app.state.kernel.settings.public_url}],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    _describe_local_times(schemas)
    shape_for_clients(document)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    document["security"] = [{"bearer": []}]
    for path, method, operation in _operations(document):
        _describe_texts(path, operation)
        _describe_errors(operation)
        _describe_headers(method, operation)
    return document


def _describe_local_times(schemas: dict[str, Any]) -> None:
    """Hours of a calendar have no offset, which `format: time` (RFC 3339) demands."""
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            if field.get("format") == "time":
                field["pattern"] = LOCAL_TIME
                del field["format"]


def shape_for_clients(document: dict[str, Any]) -> None:
    """Names and defaults that clients compile with, whatever language they are generated in by default options."""
    _name_constants(document["components"]["schemas"])
    for node in _objects(document):
        _describe_default(node)
        if node.get("type") == "object" and not FREE_OR_NOT & node.keys():
            node["additionalProperties"] = True  # left out, TypeScript takes it for an object of nothing


def _name_constants(schemas: dict[str, Any]) -> None:
    """Go has one space of names for all constants: those of two enums with a value in common would collide."""
    for name, schema in schemas.items():
        if "enum" in schema:
            schema["x-enum-varnames"] = [constant_name(name, value) for value in schema["enum"]]


def constant_name(enum: str, value: str) -> str:
    """`ZeroVolume` and `no_data` make `ZERO_VOLUME_NO_DATA`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum)
    return f"{words}_{re.sub(r'[^A-Za-z0-9]+', '_', value)}".upper()


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object below a node, the node included."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(inner)


def _describe_default(node: dict[str, Any]) -> None:
    """In words. As a keyword, a default makes a field required in TypeScript; one that is an object or a constant of
    an enum becomes Go and Java that do not compile. Parameters keep theirs where it is a plain value."""
    for name, field in node.get("properties", {}).items():
        _in_words(field, name in node.get("required", ()))
    if "in" in node and "$ref" in node.get("schema", {}):
        _in_words(node["schema"])


def _in_words(schema: dict[str, Any], is_always_there: bool = False) -> None:
    default = schema.pop("default", None)
    if default is not None and not is_always_there:
        sentence = f"Left out, it is `{json.dumps(default)}`."
        schema["description"] = f"{schema.get('description', '')} {sentence}".lstrip()


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        yield from ((path, method, operation) for method, operation in item.items() if method in _METHODS)


def _describe_headers(method: str, operation: dict[str, Any]) -> None:
    """If-Match is answered with 428 when it is missing, so it is required; every POST takes a key."""
    parameters = operation.setdefault("parameters", [])
    for parameter in parameters:
        if parameter["name"] == "if-match":
            parameter |= {
                "name": "If-Match",
                "required": True,
                "schema": {"type": "string"},
                "example": '"3"',
            }
    if method == "post":
        parameters.append(IDEMPOTENCY_KEY)
    if not parameters:
        del operation["parameters"]


def _describe_texts(path: str, operation: dict[str, Any]) -> None:
    """Tables and pages are text: without a schema no client would read them."""
    if media := _TEXTS.get(path.rpartition(".")[2]):
        operation["responses"]["200"]["content"] = {media: {"schema": {"type": "string"}}}


def _describe_errors(operation: dict[str, Any]) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation["responses"]
    for status, description in _DOCUMENTED.items():
        responses[status] = {"description": description, "content": content}
