"""The way down from OpenAPI 3.1 to 3.0.3: what changes, what stays, and that both accept the same."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_schema_validator import OAS30Validator

from concordat.reference.openapi_30 import to_openapi_30

REFERENCE = {"$ref": "#/components/schemas/Thing"}
STRING = {"type": "string"}


def converted(schema: object) -> Any:
    document = {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1", "summary": "only 3.1 has one"},
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "webhooks": {},
        "paths": {},
        "components": {"schemas": {"Subject": schema, "Thing": STRING}},
    }
    return to_openapi_30(document)["components"]["schemas"]["Subject"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"anyOf": [STRING, {"type": "null"}]}, {"type": "string", "nullable": True}),
        (
            {"anyOf": [STRING, {"type": "integer"}, {"type": "null"}], "title": "T"},
            {"anyOf": [STRING, {"type": "integer"}], "title": "T", "nullable": True},
        ),
        ({"anyOf": [REFERENCE, {"type": "null"}]}, {"allOf": [REFERENCE], "nullable": True}),
        ({"type": ["string", "null"], "maxLength": 3}, {"type": "string", "maxLength": 3, "nullable": True}),
        ({"type": "null"}, {"enum": [None], "nullable": True}),
        ({"const": "email", "type": "string"}, {"enum": ["email"], "type": "string"}),
        ({"type": "string", "examples": ["a", "b"]}, {"type": "string", "example": "a"}),
        ({"type": "string", "examples": []}, {"type": "string"}),
        (
            {"type": "integer", "exclusiveMinimum": 0},
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        ),
        (
            {"type": "number", "exclusiveMaximum": 1.5},
            {"type": "number", "maximum": 1.5, "exclusiveMaximum": True},
        ),
        (REFERENCE, REFERENCE),
        ({**REFERENCE, "description": "D"}, {"allOf": [REFERENCE], "description": "D"}),
        (
            {"type": "object", "propertyNames": {"maxLength": 9}, "additionalProperties": STRING},
            {"type": "object", "additionalProperties": STRING},
        ),
        ({"type": "array", "prefixItems": [STRING]}, {"type": "array", "items": {}}),
        (
            {"type": "object", "properties": {"examples": {"type": "array", "items": {"const": "x"}}}},
            {"type": "object", "properties": {"examples": {"type": "array", "items": {"enum": ["x"]}}}},
        ),
        (
            {"type": "object", "properties": {"const": {"anyOf": [STRING, {"type": "null"}]}}},
            {"type": "object", "properties": {"const": {"type": "string", "nullable": True}}},
        ),
        ({"type": "object", "default": {"const": 1}}, {"type": "object", "default": {"const": 1}}),
    ],
)
def test_each_31_word_has_its_30_form(schema: object, expected: object) -> None:
    assert converted(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]},
        {"type": ["integer", "null"], "exclusiveMinimum": 0, "exclusiveMaximum": 3},
        {"const": "email", "type": "string"},
        {"type": "object", "properties": {"a": {"type": ["string", "null"]}}, "required": ["a"]},
        {"type": "array", "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}},
    ],
)
def test_both_accept_and_refuse_the_same(schema: dict[str, Any]) -> None:
    values: tuple[object, ...] = (
        None,
        "",
        "ab",
        "abc",
        "email",
        0,
        1,
        2,
        3,
        {},
        {"a": None},
        {"a": "x"},
        [],
        [None, 1],
        [0],
    )
    newer, older = Draft202012Validator(schema), OAS30Validator(converted(schema))
    assert [newer.is_valid(value) for value in values] == [older.is_valid(value) for value in values]


def test_what_only_31_has_is_left_out_of_the_document() -> None:
    document = {
        "openapi": "3.1.0",
        "info": {"title": "T", "version": "1", "summary": "S"},
        "jsonSchemaDialect": "x",
        "webhooks": {"w": {}},
        "paths": {},
    }
    assert to_openapi_30(document) == {
        "openapi": "3.0.3",
        "info": {"title": "T", "version": "1"},
        "paths": {},
    }
