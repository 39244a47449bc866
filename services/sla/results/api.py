"""Results: computed live for any period, and the published history as flat rows."""

from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.sla.results import queries, service
from services.sla.results.schemas import Preview, Series
from services.sla.slas.models import Sla
from services.sla.slas.policy import READ_SLA
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import csv_response
from shared.web.route import new_router
from shared.web.schemas import AsDate, Key

router = new_router("results", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(READ_SLA)]
Period = Annotated[str, Query(max_length=10, examples=["2026-10"])]
OfSla = Annotated[UUID, Query()]
OfMetric = Annotated[Key | SkipJsonSchema[None], Query()]
Since = Annotated[Annotated[date, AsDate] | SkipJsonSchema[None], Query()]
COLUMNS = ("time", "period", "sla_id", "metric_key", "service", "status", "value", "unit")


@router.get("/slas/{sla_id}/results")
async def list_sla_results(
    sla_id: UUID, period: Period, session: Session, now: Now, caller: MayRead
) -> Preview:
    """What the SLA's metrics come to in a period as of now; a running period is flagged `period_open`."""
    return await service.preview(session, sla_id, period, now)


@router.get("/series")
async def list_series(
    session: Session, caller: MayRead, sla_id: OfSla, metric_key: OfMetric = None, since: Since = None
) -> Series:
    """Published results of an SLA as flat rows, for dashboards."""
    return Series.model_validate({"items": await _rows(session, sla_id, metric_key, since)})


@router.get("/series.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def export_series(
    session: Session, caller: MayRead, sla_id: OfSla, metric_key: OfMetric = None, since: Since = None
) -> Response:
    """The same rows for spreadsheets."""
    return csv_response("series.csv", COLUMNS, await _rows(session, sla_id, metric_key, since))


async def _rows(
    session: Session, sla_id: UUID, metric_key: str | None, since: date | None
) -> list[dict[str, object]]:
    await load(session, Sla, sla_id)
    found = await queries.series(session, sla_id, metric_key, since)
    return [
        {
            "time": line.window_end,
            "period": period,
            "sla_id": sla_id,
            "metric_key": line.metric_key,
            "service": line.service,
            "status": line.status,
            "value": line.value,
            "unit": line.unit,
        }
        for line, period in found
    ]
