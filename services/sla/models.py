"""Tables of the sla service."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.sla.base import Base
from services.sla.domain.agreements import AgreementKind
from services.sla.domain.metrics import Aggregation, Comparator
from services.sla.domain.observations import ObservationKind
from services.sla.domain.reports import ReportState
from services.sla.domain.results import ResultStatus
from shared.calendars.fiscal import PeriodKind
from shared.data.session import EnumText, Governed
from shared.reviews.domain import OVERDUE, Determination, ReviewState, SubjectKind

_OPEN = text("state = 'open'")


class Agreement(Governed, Base):
    """An IAA, contract or memorandum between customer and provider."""

    __tablename__ = "agreement"
    __table_args__ = (UniqueConstraint("charter_id", "number"),)

    number: Mapped[str]
    kind: Mapped[AgreementKind] = mapped_column(EnumText(AgreementKind))
    gtc_number: Mapped[str | None]
    modification_number: Mapped[int]
    title: Mapped[str]
    start_date: Mapped[date]
    end_date: Mapped[date]
    total_amount: Mapped[Decimal | None]
    termination_days: Mapped[int]
    next_review_due: Mapped[date]


class Sla(Governed, Base):
    """A service level agreement. `metrics` are definitions, in the order of the report.

    `next_report_at` is when the period starting on `next_period_start` ends and its report is owed.
    """

    __tablename__ = "sla"
    __table_args__ = (
        UniqueConstraint("charter_id", "number"),
        Index("ix_sla_next_report_at", "next_report_at"),
    )

    number: Mapped[str]
    agreement_id: Mapped[UUID] = mapped_column(ForeignKey("agreement.id"), index=True)
    title: Mapped[str]
    service: Mapped[str]
    effective_date: Mapped[date]
    end_date: Mapped[date]
    remediation_policy: Mapped[str]
    calendar: Mapped[str]
    period: Mapped[PeriodKind] = mapped_column(EnumText(PeriodKind))
    due_business_day: Mapped[int]
    acknowledge_within_business_days: Mapped[int]
    metrics: Mapped[list[Any]]
    next_review_due: Mapped[date]
    next_period_start: Mapped[date | None]
    next_report_at: Mapped[datetime | None]


class ObservationRow(Base):
    """One version of one observation; the greatest version of a key is in effect, the others are history."""

    __tablename__ = "observation"
    __table_args__ = (
        CheckConstraint("deleted OR (occurred_at IS NOT NULL AND service <> '')", name="complete"),
        Index("ix_observation_sla_id_service_occurred_at", "sla_id", "service", "occurred_at"),
    )

    sla_id: Mapped[UUID] = mapped_column(ForeignKey("sla.id"), primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    source_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[ObservationKind] = mapped_column(EnumText(ObservationKind))
    service: Mapped[str]
    occurred_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    value: Mapped[Decimal | None]
    good: Mapped[bool | None]
    attributes: Mapped[dict[str, Any]]
    pauses: Mapped[list[Any]]
    deleted: Mapped[bool]
    fingerprint: Mapped[str]
    received_at: Mapped[datetime]
    received_by: Mapped[UUID]
    charter_id: Mapped[UUID]
    customer_org_id: Mapped[UUID]
    provider_org_id: Mapped[UUID]
    visibility: Mapped[str]


class Report(Governed, Base):
    """A performance report of one SLA and period. Published reports never change."""

    __tablename__ = "report"
    __table_args__ = (
        UniqueConstraint("charter_id", "number"),
        UniqueConstraint("sla_id", "period"),
        Index("ix_report_due_at", "due_at", postgresql_where=text("overdue_at IS NULL")),
        Index(
            "ix_report_acknowledge_due", "acknowledge_due", postgresql_where=text("ack_overdue_at IS NULL")
        ),
    )

    number: Mapped[str]
    sla_id: Mapped[UUID] = mapped_column(ForeignKey("sla.id"), index=True)
    sla_number: Mapped[str]
    title: Mapped[str]
    period: Mapped[str]
    period_start: Mapped[date]
    period_end: Mapped[date]
    state: Mapped[ReportState] = mapped_column(EnumText(ReportState))
    due_at: Mapped[datetime]
    due_rule: Mapped[str]
    calendar: Mapped[str]
    calendar_version: Mapped[int]
    charter_version: Mapped[int]
    zone: Mapped[str]
    overdue_at: Mapped[datetime | None]
    drafted_at: Mapped[datetime | None]
    observation_hash: Mapped[str | None]
    result_hash: Mapped[str | None]
    summary: Mapped[str]
    attestation: Mapped[str | None]
    published_at: Mapped[datetime | None]
    published_by: Mapped[UUID | None]
    publisher_name: Mapped[str | None]
    acknowledge_due: Mapped[datetime | None]
    ack_overdue_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]
    acknowledged_by: Mapped[UUID | None]
    acknowledger_name: Mapped[str | None]
    remarks: Mapped[str]

    results: Mapped[list["ReportResult"]] = relationship(
        lazy="raise", viewonly=True, order_by="ReportResult.position"
    )

    @property
    def is_overdue(self) -> bool:
        return self.overdue_at is not None

    @property
    def is_ack_overdue(self) -> bool:
        return self.ack_overdue_at is not None


class ReportResult(Governed, Base):
    """One metric's line in a report, with the definition it was computed by.

    The provider alone sees the lines of a draft. The `*_exact` columns hold fractions.
    """

    __tablename__ = "report_result"
    __table_args__ = (UniqueConstraint("report_id", "metric_key"),)

    report_id: Mapped[UUID] = mapped_column(ForeignKey("report.id"), index=True)
    position: Mapped[int]
    metric_key: Mapped[str]
    metric_name: Mapped[str]
    service: Mapped[str]
    aggregation: Mapped[Aggregation] = mapped_column(EnumText(Aggregation))
    definition: Mapped[dict[str, Any]]
    comparator: Mapped[Comparator] = mapped_column(EnumText(Comparator))
    expected: Mapped[Decimal]
    minimum: Mapped[Decimal | None]
    unit: Mapped[str]
    window_label: Mapped[str]
    window_start: Mapped[datetime]
    window_end: Mapped[datetime]
    status: Mapped[ResultStatus] = mapped_column(EnumText(ResultStatus))
    n: Mapped[int]
    value: Mapped[Decimal | None]
    value_exact: Mapped[str | None]
    numerator_exact: Mapped[str | None]
    denominator_exact: Mapped[str | None]
    gross: Mapped[Decimal | None]
    gross_exact: Mapped[str | None]
    display: Mapped[str]
    flags: Mapped[list[str]]
    excluded: Mapped[list[Any]]
    calendar_version: Mapped[int]
    observation_hash: Mapped[str]
    cause: Mapped[str]


class Review(Governed, Base):
    """One yearly review of an agreement or SLA. `wakes_at` is when to look at its clock again."""

    __tablename__ = "review"
    __table_args__ = (
        Index("uq_review_open", "subject_id", unique=True, postgresql_where=_OPEN),
        Index("ix_review_wakes_at", "wakes_at", postgresql_where=_OPEN),
    )

    subject_kind: Mapped[SubjectKind] = mapped_column(EnumText(SubjectKind))
    subject_id: Mapped[UUID]
    due: Mapped[date]
    zone: Mapped[str]
    state: Mapped[ReviewState] = mapped_column(EnumText(ReviewState))
    raised: Mapped[list[str]]
    wakes_at: Mapped[datetime | None]
    outcome: Mapped[Determination | None] = mapped_column(EnumText(Determination))
    rationale: Mapped[str]
    determined_at: Mapped[datetime | None]
    determined_by: Mapped[UUID | None]
    determiner_name: Mapped[str | None]

    @property
    def is_overdue(self) -> bool:
        return OVERDUE in self.raised
