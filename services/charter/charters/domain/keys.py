"""Keys of a charter's text that must not be given twice."""

from collections.abc import Hashable, Iterable, Iterator
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def repeated(keys: Iterable[K]) -> Iterator[tuple[int, K]]:
    """Every occurrence after the first, with its index."""
    seen: set[K] = set()
    for index, key in enumerate(keys):
        if key in seen:
            yield index, key
        seen.add(key)
