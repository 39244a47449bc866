"""The API document, shaped for generated clients: problem+json errors, one security scheme, stable names."""

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
LOCAL_TIME = r"^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$"
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
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"))
    schemas["Problem"] = problem
    _describe_local_times(schemas)
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    document["security"] = [{"bearer": []}]
    for method, operation in _operations(document):
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


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in document["paths"].values():
        yield from ((method, operation) for method, operation in path.items() if method in _METHODS)


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


def _describe_errors(operation: dict[str, Any]) -> None:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    responses = operation["responses"]
    for status, description in _DOCUMENTED.items():
        responses[status] = {"description": description, "content": content}
