"""Where a schema takes one of a list of words, and a sample with another word there."""

import json
from collections.abc import Iterator
from typing import Any

from concordat.reference.golden import GOLDEN
from shared.contracts import changes
from shared.contracts.base import EXTENSIBLE

Path = tuple[str, ...]
OPENED: dict[str, Any] = json.loads((GOLDEN / changes.MatterOpened.TYPE / "0001.json").read_bytes())
"""The sample in which no list is empty."""


def lists_of_words(schema: Any, at: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every place of a schema that takes one of a list of words, with what the schema says there; `*` is any item."""
    if "enum" in schema or schema.get("description") == EXTENSIBLE:
        yield at, schema
    for name, member in schema.get("properties", {}).items():
        yield from lists_of_words(member, (*at, name))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from lists_of_words(schema[key], (*at, "*"))
    for alternative in schema.get("anyOf", ()):
        yield from lists_of_words(alternative, at)


def with_word(sample: Any, at: Path, word: object) -> Any:
    """The sample with the word at that place; in a list, in its first item, which is borrowed where there is none."""
    if not at:
        return word
    head, *rest = at
    if head == "*":
        return [with_word(sample[0], tuple(rest), word), *sample[1:]]
    return {**sample, head: with_word(sample[head] or OPENED["data"][head], tuple(rest), word)}
