"""Two verdicts on an exported audit chain: is what is there what was sealed, and is anything missing?"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.audit.chain import GENESIS, Checkpoint, row_hash

FAULTS = {
    "bad_signature": "the signature does not belong to this checkpoint",
    "unknown_key": "the checkpoint is signed by a key that is not among the trusted ones",
    "bad_path": "the checkpoint's head does not stand under its root",
}


@dataclass(frozen=True)
class Row:
    """One sealed row as it was exported; `canonical` is the very text that was hashed."""

    seq: int
    hash: bytes
    canonical: str


@dataclass(frozen=True)
class Signed:
    """A checkpoint and what speaks against it: one of `FAULTS`, or None."""

    checkpoint: Checkpoint
    fault: str | None = None

    @property
    def seq(self) -> int:
        return self.checkpoint.head.seq


class State(StrEnum):
    """`unproven`: nothing contradicts it, but nothing signed supports it either."""

    holds = "holds"
    broken = "broken"
    unproven = "unproven"


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong at which row. `line` is the line of the file, where the row itself is not known."""

    seq: int
    code: str = field(compare=False)
    message: str = field(compare=False)
    line: int | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Verdict:
    """The answer to one question, with the first bad row."""

    state: State
    fault: Fault | None = None


@dataclass(frozen=True)
class Report:
    """Both verdicts on one chain. Rows after `anchored` are not covered by any checkpoint yet."""

    integrity: Verdict
    completeness: Verdict
    rows: int
    last: int
    anchored: int

    @property
    def state(self) -> State:
        """The worse of both."""
        states = {self.integrity.state, self.completeness.state}
        return next(s for s in (State.broken, State.unproven, State.holds) if s in states)


def verify(
    rows: Iterable[Row],
    *,
    own: Sequence[Signed],
    held: Sequence[Signed] = (),
    damage: Callable[[], Iterable[Fault]] = tuple,
    end: Callable[[], int | None],
) -> Report:
    """Walk a chain once. `own` checkpoints came with the rows, `held` ones from somebody else.

    Asked after the last row: `damage`, the unreadable places, and `end`, the last row by the file's own
    end mark, None when it has none.
    """
    walk = _Walk(own, held)
    for row in rows:
        walk.step(row)
    integrity = [*walk.broken, *_untrusted((*own, *held)), *damage()]
    missing = [*walk.disagreeing, *walk.missing(end())]
    complete = State.holds if walk.anchored else State.unproven
    return Report(
        integrity=_verdict(integrity, State.holds),
        completeness=_verdict(missing, complete),
        rows=len(walk.seen),
        last=walk.dense,
        anchored=walk.anchored,
    )


def _verdict(faults: Sequence[Fault], otherwise: State) -> Verdict:
    return Verdict(State.broken, min(faults)) if faults else Verdict(otherwise)


def _untrusted(given: Iterable[Signed]) -> Iterator[Fault]:
    for signed in given:
        if signed.fault:
            yield Fault(
                signed.seq, signed.fault, f"{FAULTS[signed.fault]} (checkpoint of {signed.checkpoint.at})"
            )


class _Walk:
    """What is known so far about the rows that passed by."""

    def __init__(self, own: Sequence[Signed], held: Sequence[Signed]) -> None:
        self._own, self._held = _trusted(own), _trusted(held)
        self._previous = Row(0, GENESIS, "")
        self.seen: list[int] = []
        self.broken: list[Fault] = []
        self.disagreeing: list[Fault] = []

    def step(self, row: Row) -> None:
        """Only the first broken link is kept: whatever follows it cannot be judged."""
        fault = None if self.broken else self._link(row)
        self.broken += [fault] if fault else []
        self.seen.append(row.seq)
        self._previous = row
        for known, faults in ((self._own, self.broken), (self._held, self.disagreeing)):
            if any(checkpoint.head.hash != row.hash for checkpoint in known.get(row.seq, ())):
                faults.append(Fault(row.seq, "checkpoint_disagrees", f"row {row.seq} is not what was signed"))

    def _link(self, row: Row) -> Fault | None:
        before = self._previous.seq
        if row.seq != before + 1:
            return Fault(row.seq, "out_of_order", f"row {row.seq} stands after row {before}")
        if row_hash(self._previous.hash, row.canonical) != row.hash:
            return Fault(row.seq, "hash_mismatch", f"row {row.seq} does not give the hash it was sealed with")
        return None

    @property
    def dense(self) -> int:
        """The last row up to which none is missing."""
        present = sorted(set(self.seen))
        return bisect_right(range(len(present)), 0, key=lambda i: present[i] - i - 1)

    @property
    def anchored(self) -> int:
        """The newest row a trusted checkpoint covers, 0 for none."""
        return max((*self._own, *self._held), default=0)

    def missing(self, end: int | None) -> Iterator[Fault]:
        first = self.dense + 1
        if first <= max(self.seen, default=0):
            yield Fault(first, "missing", f"row {first} is missing")
        elif first <= self.anchored:
            yield Fault(
                first, "missing", f"row {first} is missing: a checkpoint covers rows 1 to {self.anchored}"
            )
        elif end is None:
            yield Fault(first, "cut", f"the file ends after row {first - 1} without its end mark")
        elif first <= end:
            yield Fault(first, "missing", f"row {first} is missing: the end mark names row {end}")


def _trusted(given: Iterable[Signed]) -> dict[int, list[Checkpoint]]:
    by_seq: dict[int, list[Checkpoint]] = {}
    for signed in given:
        if signed.fault is None:
            by_seq.setdefault(signed.seq, []).append(signed.checkpoint)
    return by_seq
