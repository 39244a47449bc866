"""How a metric is defined: what it measures, over which window, and the levels it must reach."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from shared.calendars.fiscal import PeriodKind, zone_named
from shared.pure.refusal import Refusal, Refused


class Aggregation(StrEnum):
    """How observations become one value."""

    availability = "availability"
    percentile = "percentile"
    within_duration_ratio = "within_duration_ratio"


class AvailabilityBasis(StrEnum):
    """Availability from the share of good checks, or from recorded outages and agreed time."""

    checks = "checks"
    outages = "outages"


class DurationClock(StrEnum):
    """Whether time runs always, or only while the SLA's calendar is open."""

    elapsed = "elapsed"
    business = "business"


class DurationUnit(StrEnum):
    """The unit of a limit; a business day ends when its last open hours close."""

    minutes = "minutes"
    hours = "hours"
    days = "days"


class Comparator(StrEnum):
    """Which side of a level is good."""

    gte = "gte"
    lte = "lte"


class ZeroVolume(StrEnum):
    """What a window without any qualifying observation means. Never that the level was met."""

    not_applicable = "not_applicable"
    no_data = "no_data"


_LONGEST = {DurationUnit.minutes: 366 * 1440, DurationUnit.hours: 366 * 24, DurationUnit.days: 366}


@dataclass(frozen=True, kw_only=True)
class AvailabilityRule:
    """`agreed_time` business counts outages and agreed minutes in the calendar's open hours only.

    Maintenance beyond the allowance counts as outage; the allowance is per window.
    """

    aggregation: Literal[Aggregation.availability] = Aggregation.availability
    basis: AvailabilityBasis = AvailabilityBasis.checks
    agreed_time: DurationClock = DurationClock.elapsed
    maintenance_allowance_minutes: int | None = None


@dataclass(frozen=True, kw_only=True)
class PercentileRule:
    """The nearest-rank percentile of the values; `successful_only` leaves failed checks out."""

    aggregation: Literal[Aggregation.percentile] = Aggregation.percentile
    percentile: Decimal
    successful_only: bool = True


@dataclass(frozen=True, kw_only=True)
class PriorityLimit:
    """A limit for the items whose priority attribute has this value."""

    priority: str
    limit: int


@dataclass(frozen=True, kw_only=True)
class DurationRule:
    """The share of items finished within `limit` units of the clock; pauses do not run.

    `start` and `stop` are `occurred_at`, `ended_at` or an attribute that holds an RFC 3339 instant
    between the two. Priorities not listed in `limits_by_priority` have `limit`.
    """

    aggregation: Literal[Aggregation.within_duration_ratio] = Aggregation.within_duration_ratio
    clock: DurationClock = DurationClock.elapsed
    unit: DurationUnit = DurationUnit.minutes
    limit: int
    priority_attribute: str = "priority"
    limits_by_priority: tuple[PriorityLimit, ...] = ()
    start: str = "occurred_at"
    stop: str = "ended_at"
    pauses_count: bool = False

    def limit_for(self, attributes: dict[str, str]) -> int:
        """The limit, in units, of an item with these attributes."""
        priority = attributes.get(self.priority_attribute)
        return next((row.limit for row in self.limits_by_priority if row.priority == priority), self.limit)


Rule = AvailabilityRule | PercentileRule | DurationRule


@dataclass(frozen=True, kw_only=True)
class LowVolume:
    """With fewer than `below` items, up to `allowed_misses` misses still meet the level.

    Without `below` the rule holds while one miss alone would miss the level: n < 1/(1 - target).
    """

    below: int | None = None
    allowed_misses: int = 1


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of an SLA. Levels are in `unit`; ratios are percentages from 0 to 100."""

    key: str
    name: str
    service: str
    rule: Rule
    unit: str = "%"
    comparator: Comparator = Comparator.gte
    expected: Decimal
    minimum: Decimal | None = None
    window: PeriodKind = PeriodKind.month
    zone: str = "America/New_York"
    zero_volume: ZeroVolume = ZeroVolume.not_applicable
    minimum_volume: int | None = None
    low_volume: LowVolume | None = None
    display_decimals: int = 2

    @property
    def is_ratio(self) -> bool:
        return not isinstance(self.rule, PercentileRule)


def check_metric(metric: Metric, pointer: str = "") -> None:
    """Refuse a definition that could never be computed or judged; pointers start with `pointer`."""
    for broken, field, message in _CHECKS:
        if broken(metric):
            raise Refused("invalid_metric", f"Metric {metric.key}: {message}", f"{pointer}/{field}")


def _zone_is_unknown(metric: Metric) -> bool:
    try:
        zone_named(metric.zone)
    except Refusal:
        return True
    return False


def _minimum_is_stricter(metric: Metric) -> bool:
    if metric.minimum is None:
        return False
    stricter = {
        Comparator.gte: metric.minimum > metric.expected,
        Comparator.lte: metric.minimum < metric.expected,
    }
    return stricter[metric.comparator]


def _level_is_no_percentage(metric: Metric) -> bool:
    levels = [level for level in (metric.expected, metric.minimum) if level is not None]
    return metric.is_ratio and any(not 0 <= level <= 100 for level in levels)


def _percentile_is_outside(metric: Metric) -> bool:
    return isinstance(metric.rule, PercentileRule) and not 0 < metric.rule.percentile <= 100


def _limit_is_outside(metric: Metric) -> bool:
    if not isinstance(metric.rule, DurationRule):
        return False
    limits = [metric.rule.limit, *(row.limit for row in metric.rule.limits_by_priority)]
    return not 1 <= min(limits) <= max(limits) <= _LONGEST[metric.rule.unit]


def _priority_is_repeated(metric: Metric) -> bool:
    if not isinstance(metric.rule, DurationRule):
        return False
    priorities = [row.priority for row in metric.rule.limits_by_priority]
    return len(priorities) != len(set(priorities))


def _counts_no_misses(metric: Metric) -> bool:
    counts = metric.is_ratio and metric.comparator is Comparator.gte
    return metric.low_volume is not None and not counts


_CHECKS: tuple[tuple[Callable[[Metric], bool], str, str], ...] = (
    (_zone_is_unknown, "zone", "the zone is an IANA name such as America/New_York."),
    (_minimum_is_stricter, "minimum", "the minimum level must be easier to reach than the expected one."),
    (_level_is_no_percentage, "expected", "the levels of a ratio are percentages from 0 to 100."),
    (lambda metric: metric.is_ratio and metric.unit != "%", "unit", "the unit of a ratio is %."),
    (_percentile_is_outside, "rule/percentile", "a percentile is more than 0 and at most 100."),
    (_limit_is_outside, "rule/limit", "a limit is at least one unit and at most a year."),
    (_priority_is_repeated, "rule/limits_by_priority", "a priority has one limit."),
    (_counts_no_misses, "low_volume", "only a ratio that must reach a level counts misses."),
    (lambda metric: not 0 <= metric.display_decimals <= 6, "display_decimals", "show 0 to 6 decimals."),
)
