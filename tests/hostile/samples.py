"""Requests made from the API document: a smallest valid body, every field's place in it, and a judge of bodies."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from tests.hostile.routes import Route, document

Schema = Mapping[str, Any]
Place = tuple[str | int, ...]
FORMATS = {
    "uuid": "0198c0de-0000-7000-8000-000000000000",
    "date": "2026-11-10",
    "date-time": "2026-11-10T15:00:00Z",
    "decimal": "1.5",
}
DEEPEST = 12


def resolved(service: str, schema: Schema) -> Schema:
    """The schema itself in place of a reference, and of a choice with null the other choice."""
    while "$ref" in schema:
        schema = document(service)["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return resolved(service, choices[0]) if choices else schema


def sample(service: str, schema: Schema) -> Any:
    """A small value that fits: required fields only, the first choice of each."""
    schema = resolved(service, schema)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "oneOf" in schema:
        return sample(service, schema["oneOf"][0])
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: sample(service, fields[name]) for name in schema.get("required", ())}
        case "array":
            return [sample(service, schema["items"])] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case _:
            return _text(schema)


def _text(schema: Schema) -> str:
    if "examples" in schema:
        return str(schema["examples"][0])
    return FORMATS.get(schema.get("format", ""), "x" * max(1, int(schema.get("minLength", 1))))


@dataclass(frozen=True)
class Field:
    """A place in a body and what the document says about it."""

    place: Place
    schema: Schema

    @property
    def pointer(self) -> str:
        return "".join(f"/{step}" for step in self.place)


def fields(
    service: str, schema: Schema, place: Place = (), seen: frozenset[str] = frozenset()
) -> Iterator[Field]:
    """Every field of a body, nested ones too; of a list its first item stands for all."""
    name = schema.get("$ref", "")
    if name in seen or len(place) > DEEPEST:
        return
    seen |= {name} if name else set()
    schema = resolved(service, schema)
    for choice in schema.get("oneOf", ()):
        yield from fields(service, choice, place, seen)
    for key, inner in schema.get("properties", {}).items():
        yield Field((*place, key), inner)
        yield from fields(service, inner, (*place, key), seen)
    for step, inner in ((0, schema.get("items")), ("x", schema.get("additionalProperties"))):
        if isinstance(inner, dict):
            yield Field((*place, step), inner)
            yield from fields(service, inner, (*place, step), seen)


def replaced(service: str, schema: Schema, body: Any, place: Place, value: object) -> Any:
    """A copy of `body` with `value` at the place; what is missing on the way there is made up."""
    if not place:
        return value
    step, *rest = place
    schema, body = _of_kind(service, resolved(service, schema), body, step)
    inner: Schema = schema["items"] if isinstance(step, int) else _member(schema, step)
    if isinstance(step, int):
        items = list(body) if isinstance(body, list) and body else [None]
        return [
            replaced(service, inner, _or_sample(service, inner, items[0], rest), tuple(rest), value),
            *items[1:],
        ]
    fields_now = dict(body) if isinstance(body, dict) else {}
    before = _or_sample(service, inner, fields_now.get(step), rest)
    return fields_now | {step: replaced(service, inner, before, tuple(rest), value)}


def inner_schema(service: str, schema: Schema, step: str | int) -> Schema:
    """What the document says about a place inside."""
    schema_of_step, _ = _of_kind(service, resolved(service, schema), None, step)
    inner: Schema = schema_of_step["items"] if isinstance(step, int) else _member(schema_of_step, step)
    return inner


def _member(schema: Schema, step: str) -> Schema:
    member: Schema = schema.get("properties", {}).get(step) or schema["additionalProperties"]
    return member


def _of_kind(service: str, schema: Schema, body: Any, step: str | int) -> tuple[Schema, Any]:
    """Of several kinds of object one that has the field, and a body of that kind."""
    kinds = [resolved(service, each) for each in schema.get("oneOf", ())]
    having = [kind for kind in kinds if step in kind.get("properties", {})]
    if not having:
        return schema, body
    same = [kind for kind in having if isinstance(body, dict) and _is_of(kind, body)]
    return (same[0], body) if same else (having[0], sample(service, having[0]))


def _is_of(kind: Schema, body: Mapping[str, Any]) -> bool:
    fixed = {name: each["const"] for name, each in kind["properties"].items() if "const" in each}
    return all(body.get(name) == value for name, value in fixed.items())


def _or_sample(service: str, schema: Schema, value: object, rest: Sequence[object]) -> object:
    return sample(service, schema) if value is None and rest else value


@lru_cache
def judge(service: str, reference: str) -> Draft202012Validator:
    """A validator of one component of a service's document."""
    schema = {"$ref": reference, "components": document(service)["components"]}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def fits(route: Route, body: object) -> bool:
    """Whether the document allows the body."""
    return bool(judge(route.service, route.body_schema()["$ref"]).is_valid(body))
