"""How a metric is defined: what it measures, over which window, and the levels it must reach."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from services.sla.metrics.domain.availability import AvailabilityRule
from services.sla.metrics.domain.durations import DurationRule
from services.sla.metrics.domain.percentiles import PercentileRule
from services.sla.metrics.domain.terms import Comparator, ZeroVolume
from shared.calendars.fiscal import PeriodKind
from shared.calendars.zones import zone_named
from shared.pure.refusal import Refusal, Refused

Rule = AvailabilityRule | PercentileRule | DurationRule
"""The one list of aggregations. A rule is one: its options, what makes no sense of them (`problems`), how it measures
(`fold`) and how a report says so (`method`). The type checker asks all of that of a new one."""

USUAL_MINIMUM_COVERAGE = Decimal(90)


@dataclass(frozen=True, kw_only=True)
class LowVolume:
    """With fewer than `below` items, up to `allowed_misses` misses still meet the level.

    Without `below` the rule holds while one miss alone would miss the level: n < 1/(1 - target).
    """

    below: int | None = None
    allowed_misses: int = 1


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of an SLA. Levels are in `unit`; ratios are percentages from 0 to 100.

    Below `minimum_coverage` percent of what should have been seen there is no verdict. Without `zero_volume` the rule's
    usual one holds.
    """

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
    zero_volume: ZeroVolume | None = None
    minimum_coverage: Decimal = USUAL_MINIMUM_COVERAGE
    minimum_volume: int | None = None
    low_volume: LowVolume | None = None
    display_decimals: int = 2

    @property
    def without_volume(self) -> ZeroVolume:
        return self.zero_volume or self.rule.usual_zero_volume

    @property
    def counts_misses(self) -> bool:
        """Whether there are items of which one more or less decides."""
        return self.rule.is_ratio and self.rule.counts_items and self.comparator is Comparator.gte


def check_metric(metric: Metric, pointer: str = "") -> None:
    """Refuse a definition that could never be computed or judged, or of which a part would be ignored."""
    for field, message in _problems(metric):
        raise Refused("invalid_metric", f"Metric {metric.key}: {message}", f"{pointer}/{field}")


def _problems(metric: Metric) -> Iterator[tuple[str, str]]:
    yield from ((field, message) for is_wrong, field, message in _CHECKS if is_wrong(metric))
    yield from ((f"rule/{field}", message) for field, message in metric.rule.problems())


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
    return metric.rule.is_ratio and any(not 0 <= level <= 100 for level in levels)


def _forgives_without_end(metric: Metric) -> bool:
    return metric.low_volume is not None and metric.low_volume.below is None and metric.expected == 100


_CHECKS: tuple[tuple[Callable[[Metric], bool], str, str], ...] = (
    (_zone_is_unknown, "zone", "the zone is an IANA name such as America/New_York."),
    (_minimum_is_stricter, "minimum", "the minimum level must be easier to reach than the expected one."),
    (_level_is_no_percentage, "expected", "the levels of a ratio are percentages from 0 to 100."),
    (lambda metric: metric.rule.is_ratio and metric.unit != "%", "unit", "the unit of a ratio is %."),
    (
        lambda metric: metric.low_volume is not None and not metric.counts_misses,
        "low_volume",
        "only a ratio of items that must reach a level counts misses.",
    ),
    (
        _forgives_without_end,
        "low_volume/below",
        "where 100 % is expected, say below which volume misses are few.",
    ),
    (
        lambda metric: metric.minimum_volume is not None and not metric.rule.counts_items,
        "minimum_volume",
        "time has no volume; minimum_coverage asks how much of it was watched.",
    ),
    (
        lambda metric: not 0 <= metric.minimum_coverage <= 100,
        "minimum_coverage",
        "a share is 0 to 100 percent.",
    ),
    (
        lambda metric: metric.minimum_coverage != USUAL_MINIMUM_COVERAGE and not metric.rule.knows_coverage,
        "minimum_coverage",
        "say with rule.expects how often checks are due, or nobody knows how many are missing.",
    ),
    (
        lambda metric: metric.rule.is_scheduled and metric.zero_volume is ZeroVolume.not_applicable,
        "zero_volume",
        "where checks are due, none at all is no_data.",
    ),
    (lambda metric: not 0 <= metric.display_decimals <= 6, "display_decimals", "show 0 to 6 decimals."),
)
