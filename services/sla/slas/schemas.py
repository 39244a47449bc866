"""SLAs, in and out."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from services.sla.agreements.schemas import Day
from services.sla.metrics.schemas import Metric, MetricCreate
from shared.calendars.fiscal import PeriodKind
from shared.web.pages import Page
from shared.web.schemas import In, Key, LongText, Out, Text

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
    remediation_policy: Annotated[
        LongText, Field(min_length=1, description="what follows when a target is missed")
    ]
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
