"""SLAs, observations and live results, in and out."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from services.sla.domain.results import ResultStatus
from services.sla.schemas.agreements import Day
from services.sla.schemas.metrics import Metric, MetricCreate
from shared.calendars.fiscal import PeriodKind
from shared.web.pages import Page
from shared.web.schemas import Exact, In, Key, LongText, Out, Text

BusinessDays = Annotated[int, Field(strict=True, ge=1, le=60)]


class SlaCreate(In):
    """An SLA with its metrics and the timeline of its reports.

    The report is due at the end of business day `due_business_day` after the period, and answered
    within `acknowledge_within_business_days`; both default to the charter's reporting obligation.
    """

    agreement_id: UUID
    title: Text
    service: Text
    effective_date: Day
    end_date: Day
    remediation_policy: LongText = ""
    calendar: Annotated[Key, Field(description="key of a calendar of the charter")] = "federal"
    period: PeriodKind = PeriodKind.month
    due_business_day: BusinessDays | None = None
    acknowledge_within_business_days: BusinessDays | None = None
    next_review_due: Day | None = None
    metrics: Annotated[list[MetricCreate], Field(min_length=1, max_length=100)]


class SlaSummary(Out):
    """An SLA in a list. `next_report_at` is when the running period ends and its report is scheduled."""

    id: UUID
    version: int
    charter_id: UUID
    customer_org_id: UUID
    provider_org_id: UUID
    number: str
    agreement_id: UUID
    title: str
    service: str
    effective_date: date
    end_date: date
    remediation_policy: str
    calendar: str
    period: PeriodKind
    due_business_day: int
    acknowledge_within_business_days: int
    next_review_due: date
    next_report_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Sla(SlaSummary):
    """An SLA with the definitions of its metrics."""

    metrics: list[Metric]


class SlaPage(Page[SlaSummary]):
    """One page of SLAs."""


class IngestError(Out):
    """A row that was not taken. `line` counts from 1 (the CSV header is line 1; JSON items count)."""

    line: int
    field: str
    code: str
    message: str


class Ingested(Out):
    """What became of the rows: received = accepted + duplicates + stale + rejected.

    `superseded` counts the accepted rows that replaced an earlier version; `stale` rows are older
    than the version in effect and are kept as history. `errors` lists the first thousand.
    """

    received: int
    accepted: int
    duplicates: int
    superseded: int
    stale: int
    rejected: int
    errors: list[IngestError]


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
    """One point of a metric's published history."""

    time: datetime
    period: str
    sla_id: UUID
    metric_key: str
    service: str
    status: ResultStatus
    value: Exact | None
    unit: str


class Series(Out):
    """Published results as flat rows, oldest first."""

    items: list[SeriesRow]
