"""What clients asked, what they were told and what was found afterwards, as JSON lines.

An operation is `invoke`d and ends as `ok` (acknowledged), `fail` (certainly refused) or `info` (unknown: it may
have happened). Everything else in a history is an observation, see `checker`.
"""

import json
import os
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, Any]


def seed_of_this_run() -> int:
    """SEED from the environment, to run a failure again, else a new one."""
    return int(os.environ.get("SEED") or random.randrange(2**32))


def rounds(count: int) -> int:
    """How often to repeat something: `count` times, more where FAULT_ROUNDS asks for a longer run."""
    return count * int(os.environ.get("FAULT_ROUNDS") or 1)


class History:
    """An append-only record of one run. It is on disk at every moment, so a crash of the test keeps it."""

    def __init__(self, path: Path, seed: int = 0) -> None:
        self.path = path
        self.records: list[Record] = []
        self._operations = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = path.open("w")
        self.note("seed", seed=seed)

    def note(self, kind: str, **fields: object) -> None:
        """Write down one observation. `at` is its place in the order; `clock` is for people who read a kept history."""
        record = {"kind": kind, "at": len(self.records), "clock": f"{datetime.now(UTC):%T.%f}", **fields}
        self.records.append(record)
        self._file.write(json.dumps(record, default=str) + "\n")
        self._file.flush()

    def invoke(self, f: str, **fields: object) -> int:
        """An operation begins; returns the number its end refers to."""
        self._operations += 1
        self.note("invoke", op=self._operations, f=f, **fields)
        return self._operations

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.records if record["kind"] == kind]

    def close(self) -> None:
        self._file.close()


def load(path: Path) -> Iterator[Record]:
    """The records of a kept history."""
    with path.open() as lines:
        for line in lines:
            yield json.loads(line)
