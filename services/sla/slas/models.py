"""The table of SLAs."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.sla.base import Base
from shared.calendars.fiscal import PeriodKind
from shared.data.session import EnumText
from shared.reviews.tables import Reviewed


class Sla(Reviewed, Base):
    """A service level agreement. `metrics` are definitions, in the order of the report.

    `next_report_at` is when the period starting on `next_period_start` ends and its report is owed.
    """

    __tablename__ = "sla"
    changes_silently = True
    __table_args__ = (UniqueConstraint("charter_id", "number"),)

    number: Mapped[str]
    agreement_id: Mapped[UUID] = mapped_column(ForeignKey("agreement.id"), index=True)
    service: Mapped[str]
    effective_date: Mapped[date]
    end_date: Mapped[date]
    remediation_policy: Mapped[str]
    calendar: Mapped[str]
    period: Mapped[PeriodKind] = mapped_column(EnumText(PeriodKind))
    due_business_day: Mapped[int]
    acknowledge_within_business_days: Mapped[int]
    metrics: Mapped[list[Any]]
    next_period_start: Mapped[date | None]
    next_report_at: Mapped[datetime | None]
