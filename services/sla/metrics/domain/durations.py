"""The share of items finished within their limit, on a clock that stands still in pauses."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from services.sla.metrics.domain.measured import Exclusion, Measured
from services.sla.metrics.domain.metric import DurationClock, DurationRule, DurationUnit
from services.sla.metrics.domain.windows import Setting
from services.sla.observations.domain.intervals import clipped, length, merged
from services.sla.observations.domain.observation import Observation, ObservationKind
from shared.calendars.business_time import BusinessCalendar
from shared.contracts.governance import ClockUnit

NOT_YET_DUE = "not_yet_due"
OPEN_OVERDUE = "open_overdue"

_UNIT = {
    DurationUnit.minutes: timedelta(minutes=1),
    DurationUnit.hours: timedelta(hours=1),
    DurationUnit.days: timedelta(days=1),
}


def within_duration(rule: DurationRule, observations: Sequence[Observation], setting: Setting) -> Measured:
    """Items finished in time, of those finished in the window or open and overdue at its end.

    An open overdue item fails again in every window until it is finished; one that is not yet due
    is left out, so that neither helps nor hurts.
    """
    events = [item for item in observations if item.kind is ObservationKind.event]
    finished = [item for item in events if _finished_in(rule, item, setting)]
    still_open = [item for item in events if _open_at_end(rule, item, setting)]
    overdue = sum(not _in_time(rule, item, setting.until, setting) for item in still_open)
    kept = sum(_in_time(rule, item, item.instant(rule.stop), setting) for item in finished)
    n = len(finished) + overdue
    waiting = len(still_open) - overdue
    return Measured(
        value=Fraction(kept, n) * 100 if n else None,
        numerator=Fraction(kept),
        denominator=Fraction(n),
        n=n,
        misses=n - kept,
        gross=Fraction(kept, n) * 100 if n else None,
        flags=(OPEN_OVERDUE,) if overdue else (),
        excluded=(Exclusion(NOT_YET_DUE, waiting),) if waiting else (),
    )


def time_taken(rule: DurationRule, item: Observation, end: datetime, calendar: BusinessCalendar) -> timedelta:
    """How long the item's clock ran from its start to `end`; a pause without an end lasts until then."""
    start = item.instant(rule.start)
    if start is None or end <= start:
        return timedelta()
    pauses = [] if rule.pauses_count else [(first, last or end) for first, last in item.pauses]
    if rule.clock is DurationClock.business:
        return calendar.elapsed_excluding(start, end, pauses)
    return end - start - length(merged(clipped(pauses, start, end)))


def allowance(rule: DurationRule, item: Observation, calendar: BusinessCalendar) -> timedelta:
    """How long the item's clock may run.

    A limit in business days allows the open time until the close of that business day, and so
    depends on when the item started.
    """
    limit = rule.limit_for(item.attributes)
    start = item.instant(rule.start)
    if rule.clock is DurationClock.elapsed or rule.unit is not DurationUnit.days or start is None:
        return limit * _UNIT[rule.unit]
    return calendar.elapsed(start, calendar.deadline(start, limit, ClockUnit.business_days))


def _finished_in(rule: DurationRule, item: Observation, setting: Setting) -> bool:
    stop = item.instant(rule.stop)
    return stop in setting.window and stop is not None and stop <= setting.now


def _open_at_end(rule: DurationRule, item: Observation, setting: Setting) -> bool:
    start, stop = item.instant(rule.start), item.instant(rule.stop)
    if start is None or start >= setting.until or _finished_in(rule, item, setting):
        return False
    return stop is None or stop >= setting.until


def _in_time(rule: DurationRule, item: Observation, end: datetime | None, setting: Setting) -> bool:
    taken = time_taken(rule, item, end or setting.until, setting.calendar)
    return taken <= allowance(rule, item, setting.calendar)
