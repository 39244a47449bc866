"""Results: computed live for any period, and the published history as flat rows."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query

from services.sla.reports.models import Report, ReportResult
from services.sla.results import queries, service
from services.sla.results.schemas import Preview, Series, SeriesRow
from services.sla.slas.policy import READ_SLA
from shared.data.listing import Listing
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, Table
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.route import new_router
from shared.web.schemas import Key, Text

router = new_router("results", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(READ_SLA)]
Period = Annotated[Text, Query(max_length=10, examples=["2026-10"])]


@router.get("/slas/{sla_id}/results")
async def list_sla_results(
    sla_id: UUID, period: Period, session: Session, now: Now, caller: MayRead
) -> Preview:
    """What the SLA's metrics come to in a period as of now; a running period is flagged `period_open`."""
    return await service.preview(session, sla_id, period, now)


async def _wanted(
    sla_id: Several[UUID] = None, metric_key: Several[Key] = None, charter_id: Several[UUID] = None
) -> Listing[ReportResult]:
    return queries.series(sla_id=sla_id, metric_key=metric_key, charter_id=charter_id)


Wanted = Annotated[Listing[ReportResult], Depends(_wanted)]


@router.get("/series", response_model=Series)
async def list_series(session: Session, page: PageQuery, wanted: Wanted, caller: MayRead) -> Rows[SeriesRow]:
    """Published results as flat rows, for dashboards; `from` and `to` bound the start of their period."""
    return await paginate(session, wanted, page, _point)


@router.get("/series.csv", response_class=CsvStream)
async def export_series(session: Session, export: Exporting, wanted: Wanted, caller: MayRead) -> CsvStream:
    """The same rows for spreadsheets, oldest first."""
    return await export.of(session, "series", wanted, SERIES)


def _point(line: ReportResult, report: Report) -> dict[str, object]:
    return {
        "id": line.id,
        "charter_id": line.charter_id,
        "sla_id": report.sla_id,
        "sla_number": report.sla_number,
        "metric_key": line.metric_key,
        "metric_name": line.metric_name,
        "service": line.service,
        "period": report.period,
        "period_start": report.period_start,
        "period_end": report.period_end,
        "time": line.window_end,
        "status": line.status,
        "value": line.value,
        "expected": line.expected,
        "minimum": line.minimum,
        "unit": line.unit,
    }


SERIES = Table(tuple(SeriesRow.model_fields), _point)
