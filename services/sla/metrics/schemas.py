"""Metric definitions, in and out."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, StrictBool, TypeAdapter
from typing_extensions import TypeAliasType

from services.sla.metrics.domain import metric as domain
from services.sla.metrics.domain.availability import AvailabilityBasis
from services.sla.metrics.domain.metric import USUAL_MINIMUM_COVERAGE
from services.sla.metrics.domain.terms import (
    Aggregation,
    Comparator,
    DurationClock,
    DurationUnit,
    ZeroVolume,
)
from shared.calendars.fiscal import PeriodKind
from shared.web.schemas import Count, Exact, In, Key, Out, Percent, Text

Limit = Annotated[int, Field(strict=True, ge=1, le=527_040, examples=[240])]
FieldName = Annotated[Key, Field(examples=["ended_at"], description="occurred_at, ended_at or an attribute")]
AtLeastOne = Annotated[Count, Field(ge=1)]
Zone = Annotated[Text, Field(examples=["America/New_York"], description="IANA time zone of the window")]


class ExpectationCreate(In):
    """How often checks are due: one every `interval_minutes`, or `per_day` of them each local day. Give one of the two."""

    interval_minutes: Annotated[int, Field(strict=True, ge=1, le=44_640, examples=[5])] | None = None
    per_day: Annotated[int, Field(strict=True, ge=1, le=86_400, examples=[3])] | None = None


Expects = Annotated[
    ExpectationCreate | None,
    Field(description="For metrics that checks feed; without it nobody knows how many are missing."),
]


class AvailabilityRuleCreate(In):
    """Good checks of all checks, or agreed time without outage."""

    aggregation: Literal[Aggregation.availability]
    basis: AvailabilityBasis
    agreed_time: DurationClock = DurationClock.elapsed
    maintenance_allowance_minutes: Count | None = None
    expects: Expects = None


class PercentileRuleCreate(In):
    """The nearest-rank percentile of observed values."""

    aggregation: Literal[Aggregation.percentile]
    percentile: Annotated[Percent, Field(examples=["95"])]
    successful_only: StrictBool = True
    expects: Expects = None


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

    below: AtLeastOne | None = None
    allowed_misses: AtLeastOne = 1


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
    zero_volume: Annotated[
        ZeroVolume | None,
        Field(description="Left out, it is `not_applicable` for items of work, `no_data` for all else."),
    ] = None
    minimum_coverage: Annotated[
        Percent, Field(ge=0, le=100, description="Percent of what is due; below it there is no verdict.")
    ] = USUAL_MINIMUM_COVERAGE
    minimum_volume: Count | None = None
    low_volume: LowVolumeCreate | None = None
    display_decimals: Annotated[int, Field(strict=True, ge=0, le=6)] = 2

    def as_domain(self) -> domain.Metric:
        """The definition; what the rule decides where nothing was said is written down with it."""
        metric = METRIC.validate_python(self.model_dump(mode="json"))
        return replace(metric, zero_volume=metric.without_volume)


Rule = TypeAliasType("Rule", Annotated[domain.Rule, Field(discriminator="aggregation")])


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
    minimum_coverage: Exact
    minimum_volume: int | None
    low_volume: domain.LowVolume | None
    display_decimals: int


METRIC: TypeAdapter[domain.Metric] = TypeAdapter(domain.Metric)
METRICS: TypeAdapter[tuple[domain.Metric, ...]] = TypeAdapter(tuple[domain.Metric, ...])


def as_document(metric: domain.Metric) -> dict[str, object]:
    """The definition as JSON, with levels as strings."""
    document: dict[str, object] = METRIC.dump_python(metric, mode="json")
    return document
