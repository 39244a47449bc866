"""Availability: the share of good checks, or of agreed time without outage."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from typing import ClassVar, Literal

from services.sla.metrics.domain.agreed_time import AgreedTime, Part
from services.sla.metrics.domain.coverage import NEITHER_OR_BOTH, Expectation, watch_of
from services.sla.metrics.domain.measured import Fold, Measured, left_out, percent, raised
from services.sla.metrics.domain.terms import Aggregation, DurationClock, ZeroVolume
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.observation import Observation, ObservationKind

APPROVED_MAINTENANCE = "approved_maintenance"
OUTSIDE_AGREED_TIME = "outside_agreed_time"
NOT_WATCHED = "not_watched"
MAINTENANCE_NOT_APPROVED = "maintenance_not_approved_before_start"


class AvailabilityBasis(StrEnum):
    """Availability from the share of good checks, or from recorded outages and agreed time."""

    checks = "checks"
    outages = "outages"


@dataclass(frozen=True, kw_only=True)
class AvailabilityRule:
    """Good checks of all checks in agreed time, or agreed minutes without outage of all agreed minutes.

    Agreed time is all time, or with `agreed_time` business the calendar's open hours, less maintenance that was approved
    before it started; of that, no more than the allowance in each window. `expects` says how often checks are due.
    """

    aggregation: Literal[Aggregation.availability] = Aggregation.availability
    basis: AvailabilityBasis = AvailabilityBasis.checks
    agreed_time: DurationClock = DurationClock.elapsed
    maintenance_allowance_minutes: int | None = None
    expects: Expectation | None = None

    reads_ended: ClassVar[bool] = False
    is_ratio: ClassVar[bool] = True
    usual_zero_volume: ClassVar[ZeroVolume] = ZeroVolume.no_data

    @property
    def counts_items(self) -> bool:
        return self.basis is AvailabilityBasis.checks

    @property
    def is_scheduled(self) -> bool:
        return self.expects is not None

    @property
    def knows_coverage(self) -> bool:
        return self.is_scheduled or not self.counts_items

    @property
    def method(self) -> str:
        time = "the calendar's open time" if self.agreed_time is DurationClock.business else "all time"
        if self.counts_items:
            return f"Availability: good checks of all checks in {time} less approved maintenance."
        return f"Availability: minutes without outage of {time} less approved maintenance."

    def fold(self, setting: Setting) -> Fold:
        return _OfChecks(self, setting) if self.counts_items else _OfTime(self, setting)

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.expects is not None and not self.counts_items:
            yield "expects", "outages say themselves what was watched, as observations of kind coverage."
        if self.expects is not None and not self.expects.is_one:
            yield "expects", NEITHER_OR_BOTH

    @property
    def allowance(self) -> timedelta | None:
        """Capped at ten years, which no window lasts."""
        given = self.maintenance_allowance_minutes
        return None if given is None else timedelta(minutes=min(given, _TEN_YEARS))


_TEN_YEARS = 3660 * 1440


def approved_before_start(maintenance: Observation) -> bool:
    """Whether its `approved_at` attribute, an RFC 3339 instant, lies before its start."""
    approved = maintenance.instant("approved_at")
    return approved is not None and maintenance.occurred_at is not None and approved < maintenance.occurred_at


class _Agreed:
    """Agreed time with its maintenance, as either basis takes it from the observations."""

    def __init__(self, rule: AvailabilityRule, setting: Setting) -> None:
        self._setting = setting
        self._time = AgreedTime(setting, rule.agreed_time, rule.allowance)
        self._maintenance = 0
        self._unapproved = False

    def _touches(self, seen: Observation) -> bool:
        start, end = seen.interval(self._setting.until)
        return max(start, self._setting.window.start) < min(end, self._setting.until)

    def _maintain(self, seen: Observation) -> None:
        if not approved_before_start(seen):
            self._unapproved = True
            return
        self._time.start(Part.away, seen.interval(self._setting.until))
        self._maintenance += self._time.has_room_for_maintenance()

    def _flags(self, *, is_covered: bool) -> tuple[str, ...]:
        return raised(
            period_open=self._setting.is_running,
            maintenance_not_approved_before_start=self._unapproved,
            coverage_not_stated=not is_covered,
        )


class _OfChecks(_Agreed):
    """Counts checks. Those in agreed maintenance or outside agreed time are left out."""

    def __init__(self, rule: AvailabilityRule, setting: Setting) -> None:
        super().__init__(rule, setting)
        self._watch = watch_of(rule.expects, self._time, setting)
        self._good = self._bad = self._good_away = self._away = self._outside = 0

    def add(self, seen: Observation) -> None:
        if seen.kind is ObservationKind.probe and self._setting.covers(seen.occurred_at):
            self._check(seen)
        elif seen.kind is ObservationKind.maintenance and self._touches(seen):
            self._maintain(seen)

    def _check(self, seen: Observation) -> None:
        assert seen.occurred_at is not None  # a probe without a moment lies in no window
        self._time.pass_to(seen.occurred_at)
        if self._watch:
            self._watch.saw(seen.occurred_at)
        if not self._time.is_agreed(seen.occurred_at):
            self._outside += 1
        elif self._time.is_away():
            self._away += 1
            self._good_away += seen.good is True
        else:
            self._good += seen.good is True
            self._bad += seen.good is not True

    def measured(self) -> Measured:
        n = self._good + self._bad
        return Measured(
            value=percent(self._good, n),
            numerator=Fraction(self._good),
            denominator=Fraction(n),
            n=n,
            misses=self._bad,
            coverage=self._watch.share() if self._watch else None,
            gross=percent(self._good + self._good_away, n + self._away),
            flags=self._flags(is_covered=self._watch is not None),
            excluded=left_out(APPROVED_MAINTENANCE, self._away)
            + left_out(OUTSIDE_AGREED_TIME, self._outside),
        )


class _OfTime(_Agreed):
    """Adds up time. What nobody watched is neither up nor down, once anybody said what was watched.

    `n` counts the records of outages and coverage: without any there is nothing to say.
    """

    def __init__(self, rule: AvailabilityRule, setting: Setting) -> None:
        super().__init__(rule, setting)
        self._n = 0
        self._is_stated = False

    def add(self, seen: Observation) -> None:
        if seen.kind is ObservationKind.maintenance and self._touches(seen):
            self._maintain(seen)
        elif (part := _RECORDED.get(seen.kind)) and self._touches(seen):
            self._n += 1
            self._is_stated |= part is Part.watched
            self._time.start(part, seen.interval(self._setting.until))

    def measured(self) -> Measured:
        time = self._time.minutes
        down, unplanned = time([Part.down]), time([Part.down], [Part.away])
        # A log of outages alone may leave out what went well; it cannot vouch for a window without any.
        knows = self._is_stated or (self._n > 0 and not unplanned)
        unwatched = time(lacking=[Part.watched, Part.down, Part.away]) if knows else Fraction()
        promised = time(lacking=[Part.away])
        agreed = promised - unwatched
        whole = time() - (time(lacking=[Part.watched, Part.down]) if knows else Fraction())
        return Measured(
            value=percent(agreed - unplanned, agreed),
            numerator=agreed - unplanned,
            denominator=agreed,
            n=self._n,
            coverage=agreed / promised if knows and promised else None,
            gross=percent(whole - down, whole),
            flags=self._flags(is_covered=knows),
            excluded=left_out(APPROVED_MAINTENANCE, self._maintenance, down - unplanned)
            + left_out(NOT_WATCHED, int(unwatched > 0), unwatched),
        )


_RECORDED = {ObservationKind.outage: Part.down, ObservationKind.coverage: Part.watched}
