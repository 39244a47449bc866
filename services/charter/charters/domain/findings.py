"""What a check of a charter's text reports: one finding per broken rule, all of them at once."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken rule. `pointer` is the RFC 6901 JSON pointer into the content as JSON."""

    code: str
    message: str
    pointer: str


def pointer(*steps: str | int) -> str:
    """The JSON pointer through those steps (RFC 6901 section 3 escapes)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def repeated(keys: Iterable[K]) -> Iterator[tuple[int, K]]:
    """Every occurrence after the first, with its index."""
    seen: set[K] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield index, key
        seen.add(key)
