"""What a change of an event's schema breaks: for readers built yesterday, and for events written yesterday."""

from collections.abc import Iterator, Mapping
from typing import Any

from shared.contracts.base import EXTENSIBLE

Schema = Mapping[str, Any]
ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated"}
STRUCTURE = {"properties", "required", "enum", "items", "anyOf"}
NULL = {"type": "null"}


def breaking_changes(old_schema: Schema, new_schema: Schema) -> list[str]:
    """One sentence per break: everything but a new optional field, a new description or a new example.

    A new enum value counts as well: a reader with a closed enum refuses the event that carries it. The words of an open
    list may grow, but none is taken away: events that carry it have been written.
    """
    return list(_breaks(old_schema, new_schema, ""))


def _breaks(old: Schema, new: Schema, at: str) -> Iterator[str]:
    old, new = (yield from _nullability(old, new, at)) or (old, new)
    yield from _fields(old, new, at)
    yield from _values(old, new, at)
    if "items" in old and "items" in new:
        yield from _breaks(old["items"], new["items"], f"{at}[]")
    for keyword in sorted((old.keys() | new.keys()) - ANNOTATIONS - STRUCTURE):
        if old.get(keyword) != new.get(keyword):
            yield f"{at or 'the event'}: {keyword} was {old.get(keyword)!r}, is {new.get(keyword)!r}"


def _nullability(old: Schema, new: Schema, at: str) -> Any:
    """Unwraps `anyOf: [X, null]` on both sides, so that the alternatives are compared with each other."""
    was, became = _alternatives(old), _alternatives(new)
    if (NULL in was) != (NULL in became):
        yield f"{at}: {'no longer null' if NULL in was else 'may be null now'}"
    left, right = ([each for each in side if each != NULL] for side in (was, became))
    if len(left) == len(right) == 1:
        return left[0], right[0]
    if left != right:
        yield f"{at}: other alternatives"
    return {}, {}


def _alternatives(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf", [schema]))


def _fields(old: Schema, new: Schema, at: str) -> Iterator[str]:
    was, became = old.get("properties", {}), new.get("properties", {})
    needed, needs = set(old.get("required", ())), set(new.get("required", ()))
    for name in was:
        if name not in became:
            yield f"{at}.{name}: removed or renamed"
        else:
            yield from _breaks(was[name], became[name], f"{at}.{name}")
    for name in sorted(needs - needed):
        yield f"{at}.{name}: {'became required' if name in was else 'is new and required'}"
    for name in sorted((needed - needs) & became.keys()):
        yield f"{at}.{name}: no longer always there"


def _values(old: Schema, new: Schema, at: str) -> Iterator[str]:
    if ("enum" in old) != ("enum" in new):
        yield f"{at}: {'the enum was opened' if 'enum' in old else 'narrowed to an enum'}"
        return
    was, became = _words(old), _words(new)
    yield from (f"{at}: value {value!r} is gone" for value in was if value not in became)
    closed = new.get("enum", ())
    yield from (f"{at}: value {value!r} is new to closed readers" for value in closed if value not in was)


def _words(schema: Schema) -> list[Any]:
    """The values a schema names: all there are of a closed list, the known ones of an open one."""
    is_open = schema.get("description") == EXTENSIBLE
    return list(schema.get("enum", schema.get("examples", ()) if is_open else ()))
