"""Results, live and published, as answers carry them."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from services.sla.results.domain.verdict import ResultStatus
from shared.web.pages import Page
from shared.web.schemas import Exact, Out


class Exclusion(Out):
    """Observations left out under a named rule."""

    reason: str
    count: int
    minutes: str | None


class MetricResult(Out):
    """A metric's value. `value` is rounded to ten decimals, `value_exact` a fraction, `display` for people."""

    metric_key: str
    metric_name: str
    service: str
    window_label: str
    window_start: datetime
    window_end: datetime
    status: Annotated[ResultStatus, Field(description="compared unrounded")]
    n: int
    value: Exact | None
    value_exact: str | None
    numerator_exact: str | None
    denominator_exact: str | None
    gross: Exact | None
    gross_exact: str | None
    coverage: Annotated[
        Exact | None,
        Field(description="percent of what was due that was seen; null where nobody said what is due"),
    ]
    coverage_exact: str | None
    display: str
    unit: str
    expected: Exact
    minimum: Exact | None
    flags: list[str]
    excluded: list[Exclusion]
    calendar_version: int
    observation_hash: str


class Preview(Out):
    """Results as they stand now; nothing is stored and nothing is promised."""

    sla_id: UUID
    period: str
    computed_at: datetime
    results: list[MetricResult]


class SeriesRow(Out):
    """One point of a metric's published history. `time` is the instant its period ended."""

    id: UUID
    charter_id: UUID
    sla_id: UUID
    sla_number: str
    metric_key: str
    metric_name: str
    service: str
    period: str
    period_start: date
    period_end: Annotated[date, Field(description="the last day")]
    time: datetime
    status: ResultStatus
    value: Exact | None
    expected: Exact
    minimum: Exact | None
    unit: str


class Series(Page[SeriesRow]):
    """Published results as flat rows."""
