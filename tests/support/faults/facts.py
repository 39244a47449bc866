"""A history in the form in which it is asked."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from tests.support.faults.history import Record


class Facts:
    """A history sorted by kind of record."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._by_kind: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            self._by_kind[record["kind"]].append(record)

    def __getitem__(self, kind: str) -> list[Record]:
        return self._by_kind.get(kind, [])

    def keys(self, kind: str, *fields: str) -> Counter[tuple[Any, ...]]:
        """How often each combination of the fields occurs among records of a kind."""
        return Counter(tuple(record[name] for name in fields) for record in self[kind])

    @property
    def versions(self) -> dict[str, int]:
        """The committed version of every aggregate."""
        return {row["aggregate"]: row["version"] for row in self["row"]}

    @property
    def acknowledged(self) -> list[Record]:
        """The answers that promised a change, those with an aggregate and its new version."""
        return [answer for answer in self["ok"] if "aggregate" in answer]


def by(records: Iterable[Record], *fields: str) -> Iterator[tuple[Any, list[Record]]]:
    """Records grouped by one field, or by a tuple of several."""

    def key(record: Record) -> tuple[str, ...]:
        return tuple(str(record[name]) for name in fields)

    for group, members in groupby(sorted(records, key=key), key):
        yield (group if len(fields) > 1 else group[0]), list(members)
