"""What a measurement yields: a figure with both sides' raw runs, its aim, and words for what both did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median

Step = Callable[[str], None]
"""Called with what is being measured now."""


@dataclass(frozen=True)
class Options:
    """How long and how often. `seconds` is the length of one timed run."""

    runs: int = 5
    seconds: float = 4.0


@dataclass(frozen=True)
class Sample:
    """One timed run; `detail` holds what else it showed, such as percentiles."""

    value: float
    detail: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what it did, in which unit it is counted, and every run of it."""

    what: str
    unit: str
    runs: Sequence[Sample]

    @property
    def median(self) -> float:
        return median(run.value for run in self.runs)

    def as_json(self) -> dict[str, object]:
        raw = [{"value": round(run.value, 4), **_rounded(run.detail)} for run in self.runs]
        return {"what": self.what, "unit": self.unit, "median": round(self.median, 4), "runs": raw}


@dataclass(frozen=True)
class Figure:
    """A figure of the table: a ratio `ours / peer`, or our own number when there is no peer.

    `aim` is the least ratio, or the largest number when `smaller_is_better`; None is measured without an aim.
    """

    name: str
    title: str
    ours: Side
    peer: Side | None = None
    aim: float | None = None
    smaller_is_better: bool = False
    others: Sequence[Side] = ()
    note: str = ""

    @property
    def value(self) -> float:
        """Each of our runs is held against the peer's run beside it: what else the machine did hit both."""
        if self.peer is None:
            return self.ours.median
        return median(
            ours.value / peer.value for ours, peer in zip(self.ours.runs, self.peer.runs, strict=True)
        )

    @property
    def met(self) -> bool | None:
        if self.aim is None:
            return None
        return self.value <= self.aim if self.smaller_is_better else self.value >= self.aim

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "title": self.title,
            "value": round(self.value, 3),
            "unit": "ratio" if self.peer else self.ours.unit,
            "aim": self.aim,
            "smaller_is_better": self.smaller_is_better,
            "met": self.met,
            "note": self.note,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "ours": self.ours.as_json(),
            "peer": self.peer.as_json() if self.peer else None,
            "others": [side.as_json() for side in self.others],
        }


@dataclass(frozen=True)
class Skipped:
    """A figure that could not be measured here, and why."""

    name: str
    title: str
    reason: str

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "measured_at": datetime.now(UTC).isoformat(timespec="seconds")}


Result = Figure | Skipped


def interleave(
    candidates: Mapping[str, Callable[[], Sample]], options: Options, step: Step
) -> dict[str, list[Sample]]:
    """Run the candidates in turn (A-B-A-B), so that what else the machine does hits all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in candidates}
    for number in range(1, options.runs + 1):
        for name, measure in candidates.items():
            step(f"{name}, run {number} of {options.runs}")
            samples[name].append(measure())
    return samples


def _rounded(detail: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in detail.items()}
