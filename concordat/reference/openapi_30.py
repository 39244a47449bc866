"""OpenAPI 3.1 down to 3.0.3, for generators that have not arrived at JSON Schema 2020-12 yet."""

from typing import Any

Node = dict[str, Any]
DROPPED = {
    "propertyNames",
    "patternProperties",
    "prefixItems",
    "contentMediaType",
    "contentEncoding",
    "$comment",
}
NULL = {"type": "null"}
BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
NAMED = {"properties", "schemas"}
"""Keys whose values map free names to schemas: a property may well be called `examples`."""
VALUES = {"example", "default", "enum"}


def to_openapi_30(document: Node) -> Node:
    """The same API as OpenAPI 3.0.3; what 3.0 cannot say is widened, never narrowed."""
    kept = {key: value for key, value in document.items() if key not in ("webhooks", "jsonSchemaDialect")}
    converted: Node = _converted(kept)
    info = {key: value for key, value in converted["info"].items() if key != "summary"}
    return {**converted, "openapi": "3.0.3", "info": info}


def _converted(node: Any) -> Any:
    if isinstance(node, list):
        return [_converted(item) for item in node]
    if not isinstance(node, dict):
        return node
    for rule in (_single_type, _without_null, _const, _example, _bounds, _items, _lonely_reference):
        node = rule(node)
    return {key: _member(key, value) for key, value in node.items() if key not in DROPPED}


def _member(key: str, value: Any) -> Any:
    if key in VALUES:
        return value
    if key in NAMED and isinstance(value, dict):
        return {name: _converted(schema) for name, schema in value.items()}
    return _converted(value)


def _single_type(node: Node) -> Node:
    """`type: [string, null]` becomes the alternatives it stands for."""
    if not isinstance(node.get("type"), list):
        return node
    rest = {key: value for key, value in node.items() if key != "type"}
    return rest | {"anyOf": [{"type": name} for name in node["type"]]}


def _without_null(node: Node) -> Node:
    """`anyOf: [X, null]` becomes X with `nullable`."""
    for key in ("anyOf", "oneOf"):
        choices = node.get(key)
        if isinstance(choices, list) and NULL in choices:
            rest = {name: value for name, value in node.items() if name != key}
            left = [choice for choice in choices if choice != NULL]
            return (left[0] if len(left) == 1 else {key: left}) | rest | {"nullable": True}
    return {"nullable": True, "enum": [None]} if node == NULL else node


def _const(node: Node) -> Node:
    if "const" not in node:
        return node
    rest = {key: value for key, value in node.items() if key != "const"}
    return rest | {"enum": [node["const"]]}


def _example(node: Node) -> Node:
    """A schema's list of examples becomes its first; the map of a parameter or a body stays."""
    if not isinstance(node.get("examples"), list):
        return node
    rest = {key: value for key, value in node.items() if key != "examples"}
    return rest | ({"example": node["examples"][0]} if node["examples"] else {})


def _bounds(node: Node) -> Node:
    """An exclusive bound is a number in 3.1, and a mark on the inclusive one in 3.0."""
    for exclusive, inclusive in BOUNDS.items():
        bound = node.get(exclusive)
        if isinstance(bound, int | float) and not isinstance(bound, bool):
            node = node | {inclusive: bound, exclusive: True}
    return node


def _items(node: Node) -> Node:
    """3.0 wants `items` in every array; a tuple's single places cannot be told apart there."""
    return node | {"items": {}} if node.get("type") == "array" and "items" not in node else node


def _lonely_reference(node: Node) -> Node:
    """3.0 ignores whatever stands beside a reference, so the reference moves into `allOf`."""
    if not isinstance(node.get("$ref"), str) or len(node) == 1:
        return node
    rest = {key: value for key, value in node.items() if key != "$ref"}
    return rest | {"allOf": [{"$ref": node["$ref"]}]}
