"""The JSON Schema of every event: closed for producers, so that a committed file shows every change.

Readers stay open (they ignore unknown fields), so a consumer validates against the file with
`additionalProperties` removed.
"""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from concordat.reference.sources import first_sentence
from shared.contracts.base import SCHEMA_BASE, Envelope, Event, schema_name, schema_uri

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENVELOPE_BASE = SCHEMA_BASE.replace("/events/", "/cloudevents/")
LOCAL_TIME = r"^\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"
Schema = dict[str, Any]


class _Closed(GenerateJsonSchema):
    """Pydantic's schema with closed objects, our value kinds spelled out and no titles that repeat names."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> Schema:
        return {**super().model_schema(schema), "additionalProperties": False}

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> Schema:
        return {**super().dataclass_schema(schema), "additionalProperties": False}

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> Schema:
        return {"type": "string", "format": "decimal"}

    def time_schema(self, schema: core_schema.TimeSchema) -> Schema:
        # Local to a calendar's zone, so without the offset that format `time` demands.
        return {"type": "string", "pattern": LOCAL_TIME}


def event_schema(cls: type[Event]) -> Schema:
    """The whole message; its `data` member is a schema resource of its own, named by `dataschema`."""
    envelope = _flat(Envelope)
    given = {
        "type": {"const": cls.TYPE},
        "dataschema": {"const": schema_uri(cls.TYPE)},
        "data": data_schema(cls),
    }
    return {
        "$schema": DIALECT,
        "$id": ENVELOPE_BASE + schema_name(cls.TYPE),
        "title": f"{cls.__name__} as a CloudEvent",
        "description": f"{first_sentence(cls)} Structured JSON on topic {cls.TOPIC}; key is `subject`.",
        "type": "object",
        "properties": {
            name: given.get(name, _never_null(member)) for name, member in envelope["properties"].items()
        },
        "required": envelope["required"],
        "additionalProperties": False,
    }


def data_schema(cls: type[Event]) -> Schema:
    """What the `data` of one event type holds, under the identifier its `dataschema` attribute carries."""
    schema = _flat(cls)
    head = {key: schema[key] for key in ("title", "description", "type")}
    return {"$id": schema_uri(cls.TYPE), **head, **schema}


def _flat(model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema(mode="serialization", schema_generator=_Closed)
    flat: Schema = _inlined(schema, schema.pop("$defs", {}))
    return flat


def _inlined(node: Any, definitions: Schema) -> Any:
    """The node without references: every tool reads it, whether or not it knows `$id` and `$defs`."""
    match node:
        case {"$ref": str(reference), **beside}:
            target = definitions[reference.rpartition("/")[2]]
            return _inlined({**target, **beside}, definitions)
        case dict():
            return {key: _inlined(value, definitions) for key, value in node.items()}
        case list():
            return [_inlined(item, definitions) for item in node]
    return node


def _never_null(member: Schema) -> Schema:
    """An absent attribute is left out of an event, never null (CloudEvents JSON format 2.2)."""
    match member:
        case {"anyOf": [only, {"type": "null"}]}:
            return dict(only)
    return member
