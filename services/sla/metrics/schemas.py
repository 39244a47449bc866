"""Metric definitions, in and out."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, StrictBool, TypeAdapter
from typing_extensions import TypeAliasType

from services.sla.metrics.domain import metric as domain
from services.sla.metrics.domain.metric import (
    Aggregation,
    AvailabilityBasis,
    Comparator,
    DurationClock,
    DurationUnit,
    ZeroVolume,
)
from shared.calendars.fiscal import PeriodKind
from shared.web.schemas import Count, Exact, In, Key, Out, Percent, Text

Limit = Annotated[int, Field(strict=True, ge=1, le=527_040, examples=[240])]
FieldName = Annotated[Key, Field(examples=["ended_at"], description="occurred_at, ended_at or an attribute")]
Zone = Annotated[Text, Field(examples=["America/New_York"], description="IANA time zone of the window")]


class AvailabilityRuleCreate(In):
    """Good checks of all checks, or agreed time without outage."""

    aggregation: Literal[Aggregation.availability]
    basis: AvailabilityBasis
    agreed_time: DurationClock = DurationClock.elapsed
    maintenance_allowance_minutes: Count | None = None


class PercentileRuleCreate(In):
    """The nearest-rank percentile of observed values."""

    aggregation: Literal[Aggregation.percentile]
    percentile: Annotated[Percent, Field(examples=["95"])]
    successful_only: StrictBool = True


class PriorityLimitCreate(In):
    priority: Text
    limit: Limit


class DurationRuleCreate(In):
    """The share of items finished within a limit."""

    aggregation: Literal[Aggregation.within_duration_ratio]
    clock: DurationClock
    unit: DurationUnit
    limit: Limit
    priority_attribute: Key = "priority"
    limits_by_priority: Annotated[list[PriorityLimitCreate], Field(max_length=20)] = Field(
        default_factory=list
    )
    start: FieldName = "occurred_at"
    stop: FieldName = "ended_at"
    pauses_count: StrictBool = False


RuleCreate = TypeAliasType(
    "RuleCreate",
    Annotated[
        AvailabilityRuleCreate | PercentileRuleCreate | DurationRuleCreate, Field(discriminator="aggregation")
    ],
)


class LowVolumeCreate(In):
    """Below this volume so many misses still meet the level; without `below`, below 1/(1 - target)."""

    below: Count | None = None
    allowed_misses: Count = 1


class MetricCreate(In):
    """One line of the SLA. Levels are strings; for ratios percentages from 0 to 100."""

    key: Annotated[Key, Field(examples=["AV-01"])]
    name: Annotated[Text, Field(examples=["Core application availability"])]
    service: Annotated[Text, Field(examples=["payroll"], description="whose observations count")]
    rule: RuleCreate
    unit: Annotated[Text, Field(max_length=20)] = "%"
    comparator: Comparator = Comparator.gte
    expected: Annotated[Percent, Field(examples=["99.5"])]
    minimum: Percent | None = None
    window: PeriodKind = PeriodKind.month
    zone: Zone = "America/New_York"
    zero_volume: ZeroVolume = ZeroVolume.not_applicable
    minimum_volume: Count | None = None
    low_volume: LowVolumeCreate | None = None
    display_decimals: Annotated[int, Field(strict=True, ge=0, le=6)] = 2

    def as_domain(self) -> domain.Metric:
        return METRIC.validate_python(self.model_dump())


class AvailabilityRule(Out):
    aggregation: Literal[Aggregation.availability]
    basis: AvailabilityBasis
    agreed_time: DurationClock
    maintenance_allowance_minutes: int | None


class PercentileRule(Out):
    aggregation: Literal[Aggregation.percentile]
    percentile: Exact
    successful_only: bool


class PriorityLimit(Out):
    priority: str
    limit: int


class DurationRule(Out):
    aggregation: Literal[Aggregation.within_duration_ratio]
    clock: DurationClock
    unit: DurationUnit
    limit: int
    priority_attribute: str
    limits_by_priority: list[PriorityLimit]
    start: str
    stop: str
    pauses_count: bool


Rule = TypeAliasType(
    "Rule", Annotated[AvailabilityRule | PercentileRule | DurationRule, Field(discriminator="aggregation")]
)


class LowVolume(Out):
    below: int | None
    allowed_misses: int


class Metric(Out):
    """A metric as the SLA defines it."""

    key: str
    name: str
    service: str
    rule: Rule
    unit: str
    comparator: Comparator
    expected: Exact
    minimum: Exact | None
    window: PeriodKind
    zone: str
    zero_volume: ZeroVolume
    minimum_volume: int | None
    low_volume: LowVolume | None
    display_decimals: int


METRIC: TypeAdapter[domain.Metric] = TypeAdapter(domain.Metric)
METRICS: TypeAdapter[tuple[domain.Metric, ...]] = TypeAdapter(tuple[domain.Metric, ...])


def as_document(metric: domain.Metric) -> dict[str, object]:
    """The definition as JSON, with levels as strings."""
    document: dict[str, object] = METRIC.dump_python(metric, mode="json")
    return document


def level(value: Decimal) -> str:
    """A level as people write it: without exponent or trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
