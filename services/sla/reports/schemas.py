"""Performance reports, in and out."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from services.sla.metrics.schemas import Metric
from services.sla.reports.domain import ReportState
from services.sla.results.schemas import MetricResult
from shared.web.pages import Page
from shared.web.schemas import In, Key, LongText, Needed, Out, Patch

PeriodLabel = Annotated[
    str, Field(strict=True, max_length=10, examples=["2026-10"], description="2026-10, FY27 Q1 or FY27")
]


class ReportCreate(In):
    """A report for a period, ahead of the timer or for a time before the SLA was registered."""

    period: PeriodLabel


class ReportCommentary(Patch):
    """The provider's words: a summary, and the cause of each miss by metric key."""

    summary: LongText | SkipJsonSchema[None] = None
    causes: Annotated[dict[Key, LongText], Field(max_length=100)] = Field(default_factory=dict)


class ReportPublish(In):
    attestation: Annotated[
        Needed, Field(examples=["I attest that this report is complete and accurate to my knowledge."])
    ]


class ReportAcknowledge(In):
    remarks: LongText = ""


class ReportLine(MetricResult):
    """A result as reported, with the definition it was computed by and the cause of a miss."""

    id: UUID
    definition: Metric
    cause: str


class ReportSummary(Out):
    """A report in a list. Overdue means it was not published by `due_at`."""

    id: UUID
    version: int
    charter_id: UUID
    customer_org_id: UUID
    provider_org_id: UUID
    number: str
    sla_id: UUID
    sla_number: str
    title: str
    period: str
    period_start: date
    period_end: Annotated[date, Field(description="the last day")]
    state: ReportState
    due_at: datetime
    due_rule: str
    calendar: str
    calendar_version: int
    charter_version: int
    zone: str
    is_overdue: bool
    drafted_at: datetime | None
    observation_hash: str | None
    result_hash: str | None
    published_at: datetime | None
    acknowledge_due: datetime | None
    is_ack_overdue: bool
    acknowledged_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Report(ReportSummary):
    """A report with its lines. Until publication the customer sees neither lines nor summary."""

    summary: str
    attestation: str | None
    published_by: UUID | None
    publisher_name: str | None
    acknowledged_by: UUID | None
    acknowledger_name: str | None
    remarks: str
    results: list[ReportLine]


class ReportPage(Page[ReportSummary]):
    """One page of reports."""
