"""Availability: the share of good checks, or of agreed time without outage."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from fractions import Fraction

from services.sla.metrics.domain.measured import Exclusion, Measured
from services.sla.metrics.domain.metric import AvailabilityBasis, AvailabilityRule, DurationClock
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.intervals import (
    Interval,
    capped,
    clipped,
    length,
    merged,
    minutes,
    without,
)
from services.sla.observations.domain.observation import Observation, ObservationKind

APPROVED_MAINTENANCE = "approved_maintenance"
MAINTENANCE_NOT_APPROVED = "maintenance_not_approved_before_start"
PERIOD_OPEN = "period_open"
_STRETCHES = frozenset({ObservationKind.outage, ObservationKind.maintenance, ObservationKind.coverage})


def availability(rule: AvailabilityRule, observations: Sequence[Observation], setting: Setting) -> Measured:
    """Availability in percent; `gross` is what it would be had no maintenance been agreed."""
    return _BY_BASIS[rule.basis](rule, observations, setting)


def approved_before_start(maintenance: Observation) -> bool:
    """Whether its `approved_at` attribute, an RFC 3339 instant, lies before its start."""
    approved = maintenance.instant("approved_at")
    return approved is not None and maintenance.occurred_at is not None and approved < maintenance.occurred_at


def _from_checks(rule: AvailabilityRule, observations: Sequence[Observation], setting: Setting) -> Measured:
    checks = [
        seen
        for seen in observations
        if seen.kind is ObservationKind.probe and seen.occurred_at in setting.window
    ]
    agreed_away = _maintenance(rule, observations, setting)
    counted = [check for check in checks if not _during(check, agreed_away)]
    good = sum(check.good is True for check in counted)
    return Measured(
        value=_percent(good, len(counted)),
        numerator=Fraction(good),
        denominator=Fraction(len(counted)),
        n=len(counted),
        misses=len(counted) - good,
        gross=_percent(sum(check.good is True for check in checks), len(checks)),
        flags=_flags(observations, setting),
        excluded=_excluded(len(checks) - len(counted), None),
    )


def _from_outages(rule: AvailabilityRule, observations: Sequence[Observation], setting: Setting) -> Measured:
    """Without any record of the window there is nothing to say: `n` counts the records."""
    records = [seen for seen in observations if seen.kind in _STRETCHES and _touches(seen, setting)]
    whole = [(setting.window.start, setting.until)]
    outages = _of_kind(ObservationKind.outage, records, setting)
    agreed_away = _maintenance(rule, records, setting)
    total = _time(rule, whole, setting)
    agreed = total - _time(rule, agreed_away, setting)
    countable = _time(rule, without(outages, agreed_away), setting)
    down = _time(rule, outages, setting)
    return Measured(
        value=_percent(agreed - countable, agreed),
        numerator=agreed - countable,
        denominator=agreed,
        n=len(records),
        gross=_percent(total - down, total),
        flags=_flags(records, setting),
        excluded=_excluded(len(agreed_away), down - countable),
    )


_BY_BASIS: dict[AvailabilityBasis, Callable[[AvailabilityRule, Sequence[Observation], Setting], Measured]] = {
    AvailabilityBasis.checks: _from_checks,
    AvailabilityBasis.outages: _from_outages,
}


def _maintenance(
    rule: AvailabilityRule, observations: Iterable[Observation], setting: Setting
) -> list[Interval]:
    approved = [seen for seen in observations if approved_before_start(seen)]
    allowance = rule.maintenance_allowance_minutes
    return capped(
        _of_kind(ObservationKind.maintenance, approved, setting),
        None if allowance is None else timedelta(minutes=allowance),
    )


def _of_kind(kind: ObservationKind, observations: Iterable[Observation], setting: Setting) -> list[Interval]:
    intervals = (seen.interval(setting.until) for seen in observations if seen.kind is kind)
    return merged(clipped(intervals, setting.window.start, setting.until))


def _touches(seen: Observation, setting: Setting) -> bool:
    return bool(clipped([seen.interval(setting.until)], setting.window.start, setting.until))


def _time(rule: AvailabilityRule, intervals: Sequence[Interval], setting: Setting) -> Fraction:
    """Minutes of disjoint intervals, all of them or the calendar's open ones."""
    if rule.agreed_time is DurationClock.elapsed:
        return minutes(length(intervals))
    return minutes(sum((setting.calendar.elapsed(*interval) for interval in intervals), timedelta()))


def _during(check: Observation, stretches: Iterable[Interval]) -> bool:
    return check.occurred_at is not None and any(start <= check.occurred_at < end for start, end in stretches)


def _flags(observations: Iterable[Observation], setting: Setting) -> tuple[str, ...]:
    unapproved = any(
        seen.kind is ObservationKind.maintenance
        and not approved_before_start(seen)
        and _touches(seen, setting)
        for seen in observations
    )
    raised = {PERIOD_OPEN: setting.now < setting.window.end, MAINTENANCE_NOT_APPROVED: unapproved}
    return tuple(flag for flag, is_raised in raised.items() if is_raised)


def _excluded(count: int, lost: Fraction | None) -> tuple[Exclusion, ...]:
    return (Exclusion(APPROVED_MAINTENANCE, count, lost),) if count else ()


def _percent(part: Fraction | int, whole: Fraction | int) -> Fraction | None:
    return Fraction(part) / Fraction(whole) * 100 if whole else None
