"""The tables of reports and their lines."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from services.sla.base import Base
from services.sla.metrics.domain.terms import Aggregation, Comparator
from services.sla.reports.domain import ReportState
from services.sla.results.domain.verdict import ResultStatus
from shared.data.session import EnumText, Governed


class Report(Governed, Base):
    """A performance report of one SLA and period. Published reports never change."""

    __tablename__ = "report"
    __table_args__ = (
        UniqueConstraint("charter_id", "number"),
        UniqueConstraint("sla_id", "period"),
        CheckConstraint("result_hash = encode(sha256(result_text), 'hex')", name="result_hash"),
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
    result_text: Mapped[bytes | None] = mapped_column(deferred=True, deferred_raiseload=True)
    result_format: Mapped[int | None]
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
    def aggregate(self) -> str:
        return "sla_report"

    @property
    def computed(self) -> tuple[bytes, str, int]:
        """The text of its results, that text's hash and its format; a report has them from its first draft on."""
        assert self.result_text is not None  # the query asked for reports that have one
        assert self.result_hash is not None
        assert self.result_format is not None
        return self.result_text, self.result_hash, self.result_format

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
    coverage: Mapped[Decimal | None]
    coverage_exact: Mapped[str | None]
    display: Mapped[str]
    flags: Mapped[list[str]]
    excluded: Mapped[list[Any]]
    calendar_version: Mapped[int]
    observation_hash: Mapped[str]
    cause: Mapped[str]

    @property
    def aggregate(self) -> str:
        return "sla_result"
