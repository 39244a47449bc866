"""Percentiles by nearest rank: always one of the observed values, never an interpolation."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from heapq import merge
from math import ceil
from struct import Struct
from typing import ClassVar, Literal

from services.sla.metrics.domain.agreed_time import AgreedTime
from services.sla.metrics.domain.coverage import NEITHER_OR_BOTH, Expectation, watch_of
from services.sla.metrics.domain.measured import Fold, Measured, left_out, level, raised
from services.sla.metrics.domain.terms import Aggregation, ZeroVolume
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.observation import Observation, ObservationKind

NOT_SUCCESSFUL = "not_successful"


@dataclass(frozen=True, kw_only=True)
class PercentileRule:
    """The nearest-rank percentile of the values; `successful_only` leaves failed checks out."""

    aggregation: Literal[Aggregation.percentile] = Aggregation.percentile
    percentile: Decimal
    successful_only: bool = True
    expects: Expectation | None = None

    reads_ended: ClassVar[bool] = False
    is_ratio: ClassVar[bool] = False
    counts_items: ClassVar[bool] = True
    usual_zero_volume: ClassVar[ZeroVolume] = ZeroVolume.no_data

    @property
    def is_scheduled(self) -> bool:
        return self.expects is not None

    @property
    def knows_coverage(self) -> bool:
        return self.is_scheduled

    @property
    def method(self) -> str:
        of = "successful observations" if self.successful_only else "all observations"
        return f"{level(self.percentile)}th percentile (nearest rank) of {of}."

    def fold(self, setting: Setting) -> Fold:
        return _Percentile(self, setting)

    def problems(self) -> Iterator[tuple[str, str]]:
        if not 0 < self.percentile <= 100:
            yield "percentile", "a percentile is more than 0 and at most 100."
        if self.expects is not None and not self.expects.is_one:
            yield "expects", NEITHER_OR_BOTH


class _Percentile:
    """Ranks the values of the window; `gross` takes failed checks in as well."""

    def __init__(self, rule: PercentileRule, setting: Setting) -> None:
        self._rule = rule
        self._setting = setting
        self._watch = watch_of(rule.expects, AgreedTime(setting), setting)
        self._counted = Ranking()
        self._failed = Ranking()
        self._probes = 0

    def add(self, seen: Observation) -> None:
        if not self._setting.covers(seen.occurred_at):
            return
        assert seen.occurred_at is not None  # what the window covers has a moment
        failed = seen.good is False
        is_probe = seen.kind is ObservationKind.probe
        self._probes += is_probe
        # A check that went well and has no value says nothing about what is measured here.
        if self._watch and is_probe and (failed or seen.value is not None):
            self._watch.saw(seen.occurred_at)
        if seen.value is not None:
            ranking = self._failed if failed and self._rule.successful_only else self._counted
            ranking.add(seen.value)

    def measured(self) -> Measured:
        value = self._counted.nearest(self._rule.percentile)
        return Measured(
            value=value,
            numerator=value,
            denominator=None if value is None else Fraction(1),
            n=self._counted.n,
            coverage=self._watch.share() if self._watch else None,
            gross=self._counted.nearest(self._rule.percentile, self._failed),
            flags=raised(
                period_open=self._setting.is_running,
                coverage_not_stated=bool(self._probes) and self._watch is None,
            ),
            excluded=left_out(NOT_SUCCESSFUL, self._failed.n),
        )


def nearest_rank(values: Iterable[Decimal], percent: Decimal) -> Fraction | None:
    """The value at rank ceil(P/100 * n) of the sorted values; None without any."""
    ranking = Ranking()
    for value in values:
        ranking.add(value)
    return ranking.nearest(percent)


_Count = tuple[int, int]
"""A value, in units of its last decimal, and how often it was seen."""


class Ranking:
    """A multiset of values of at most 12 decimals, as observations have them.

    While there are few different ones they are merely counted. Each time there are many, they go into a sorted run of
    `_ROW.size` bytes each: millions of values need a few megabytes, and no step sorts more than `MOST_COUNTED`.
    """

    MOST_COUNTED = 10_000

    def __init__(self) -> None:
        self.n = 0
        self._counted: Counter[int] = Counter()
        self._runs: list[bytes] = []

    def add(self, value: Decimal) -> None:
        self.n += 1
        self._counted[int(value.scaleb(_DECIMALS, _EXACTLY))] += 1
        if len(self._counted) == self.MOST_COUNTED:
            self._runs.append(b"".join(_ROW.pack(*divmod(v, _HALF), n) for v, n in self._ordered()))
            self._counted.clear()

    def nearest(self, percent: Decimal, *others: "Ranking") -> Fraction | None:
        """The value at rank ceil(P/100 * n) of these values and the others; None without any."""
        rankings = (self, *others)
        rank = ceil(Fraction(percent) * sum(ranking.n for ranking in rankings) / 100)
        for value, times in merge(*(run for ranking in rankings for run in ranking._sorted_runs())):
            rank -= times
            if rank <= 0:
                return Fraction(value, 10**_DECIMALS)
        return None

    def _sorted_runs(self) -> Iterator[Iterable[_Count]]:
        yield self._ordered()
        for run in self._runs:
            yield ((high * _HALF + low, times) for high, low, times in _ROW.iter_unpack(run))

    def _ordered(self) -> list[_Count]:
        return sorted(self._counted.items())


_DECIMALS = 12
_EXACTLY = Context(prec=60)
_HALF = 1 << 64
_ROW = Struct("<qQQ")
