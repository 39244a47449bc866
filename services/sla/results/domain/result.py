"""A metric's result in a window, from its first observation to the text that is hashed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256

from services.sla.metrics.domain.measured import Exclusion, Measured
from services.sla.metrics.domain.metric import Metric
from services.sla.metrics.domain.windows import Setting, Window
from services.sla.observations.domain.observation import Observation, fingerprint, in_time
from services.sla.results.domain.display import display, rounds_to_met, shown_share, stored
from services.sla.results.domain.verdict import ResultStatus, judge, reaches
from shared.calendars.business_time import BusinessCalendar
from shared.pure.canonical import canonical_bytes

LOW_VOLUME = "low_volume"
ROUNDS_TO_MET = "rounds_to_met"
RESULT_FORMAT = 1
"""How the results of a report are written down to be attested: 1 is the RFC 8785 JSON of definitions and results."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A judged measurement. `value` and `gross` are exact and `coverage` a share from 0 to 1; `display` is for people."""

    metric: Metric
    window: Window
    status: ResultStatus
    value: Fraction | None
    numerator: Fraction | None
    denominator: Fraction | None
    n: int
    gross: Fraction | None
    coverage: Fraction | None
    flags: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    display: str
    calendar_version: int
    observation_hash: str

    @property
    def stored_value(self) -> Decimal | None:
        return stored(self.metric, self.value)

    @property
    def stored_gross(self) -> Decimal | None:
        return stored(self.metric, self.gross)

    @property
    def stored_coverage(self) -> Decimal | None:
        """In percent."""
        return None if self.coverage is None else shown_share(self.coverage)


class Computation:
    """One metric being computed over one window: given the observations of its service in their order of time."""

    def __init__(self, metric: Metric, window: Window, calendar: BusinessCalendar, now: datetime) -> None:
        self.metric = metric
        self.window = window
        self._calendar_version = calendar.rules.version
        self._fold = metric.rule.fold(Setting(window, calendar, now, metric.zone))

    def add(self, seen: Observation) -> None:
        self._fold.add(seen)

    def result(self, observation_hash: str) -> Result:
        """The verdict and its figures; the hash names the observations it stands on."""
        measured = self._fold.measured()
        status = judge(self.metric, measured)
        has_value = status.has_value
        return Result(
            metric=self.metric,
            window=self.window,
            status=status,
            value=measured.value if has_value else None,
            numerator=measured.numerator if has_value else None,
            denominator=measured.denominator if has_value else None,
            n=measured.n,
            gross=measured.gross if has_value else None,
            coverage=measured.coverage,
            flags=measured.flags + _flags(self.metric, measured, status),
            excluded=measured.excluded,
            display=display(self.metric, measured, status),
            calendar_version=self._calendar_version,
            observation_hash=observation_hash,
        )


class SetHash:
    """One hash for a set of observations, from their fingerprints in their order of time."""

    def __init__(self) -> None:
        self._digest = sha256()

    def add(self, fingerprint: str) -> None:
        self._digest.update(f"{fingerprint}\n".encode())

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def compute(
    metric: Metric,
    observations: Iterable[Observation],
    window: Window,
    calendar: BusinessCalendar,
    now: datetime,
) -> Result:
    """The metric's result from the latest versions of its service's observations, in any order.

    The same observations, window and calendar give the same result once `now` is past the window.
    """
    computation = Computation(metric, window, calendar, now)
    observed = SetHash()
    own = (seen for seen in observations if seen.service == metric.service and not seen.deleted)
    for seen in sorted(own, key=in_time):
        observed.add(fingerprint(seen))
        computation.add(seen)
    return computation.result(observed.hexdigest())


def result_text(results: Sequence[Result]) -> bytes:
    """Definitions and exact results in their order, written down once in `RESULT_FORMAT`: the text that is attested.

    It holds everything as it was then: the definition too, whatever its class may grow into.
    """
    return canonical_bytes({"results": [_written(result) for result in results]})


def _written(result: Result) -> dict[str, object]:
    window = result.window
    return {
        "metric": result.metric,
        "window": {"label": window.label, "start": window.start, "end": window.end},
        "status": result.status,
        "n": result.n,
        "flags": result.flags,
        "excluded": [[row.reason, row.count, _text(row.minutes)] for row in result.excluded],
        "calendar_version": result.calendar_version,
        "observation_hash": result.observation_hash,
        **{name: _text(getattr(result, name)) for name in _EXACT},
    }


_EXACT = ("value", "numerator", "denominator", "gross", "coverage")


def _text(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _flags(metric: Metric, measured: Measured, status: ResultStatus) -> tuple[str, ...]:
    if measured.value is None or not status.has_value:
        return ()
    raised = {
        LOW_VOLUME: status is ResultStatus.met and not reaches(metric, measured.value, metric.expected),
        ROUNDS_TO_MET: rounds_to_met(metric, measured.value),
    }
    return tuple(flag for flag, is_raised in raised.items() if is_raised)
