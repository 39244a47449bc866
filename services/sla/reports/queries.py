"""Selects of reports worth a name. Row-level security already hides what the caller may not see."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from services.sla.reports.domain import ReportState
from services.sla.reports.models import Report, ReportResult
from shared.data.listing import Listing, any_of
from shared.data.session import given


def reports(
    *,
    sla_id: Sequence[UUID] | None = None,
    state: Sequence[ReportState] | None = None,
    period: Sequence[str] | None = None,
    overdue: bool | None = None,
) -> Listing[Report]:
    """Reports by the start of their period; `overdue` asks for those that were, or were not, published too late."""
    wanted = select(Report).where(
        *any_of(Report.sla_id, sla_id),
        *any_of(Report.state, state),
        *any_of(Report.period, period),
        *given(Report.overdue_at.is_not(None), overdue),
    )
    return Listing(wanted, Report, dated=Report.period_start)


async def report_of(session: AsyncSession, sla_id: UUID, period: str) -> Report | None:
    result = await session.scalars(select(Report).where(Report.sla_id == sla_id, Report.period == period))
    return result.one_or_none()


async def with_result_text(session: AsyncSession, report_id: UUID) -> Report | None:
    """The report with the text that is attested; None while nothing was computed."""
    result = await session.scalars(
        select(Report)
        .where(Report.id == report_id, Report.result_text.is_not(None))
        .options(undefer(Report.result_text))
    )
    return result.one_or_none()


async def lines(session: AsyncSession, report_id: UUID) -> list[ReportResult]:
    """The lines of a report in the order of the SLA; none for those who may not see a draft."""
    rows = await session.scalars(
        select(ReportResult).where(ReportResult.report_id == report_id).order_by(ReportResult.position)
    )
    return list(rows)
