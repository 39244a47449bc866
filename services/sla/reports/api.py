"""Performance reports: scheduled, drafted and published by the provider, acknowledged by the customer."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.sla.reports import models, policy, queries
from services.sla.reports.domain import ReportState
from services.sla.reports.page import render
from services.sla.reports.schemas import (
    PeriodLabel,
    Report,
    ReportAcknowledge,
    ReportCommentary,
    ReportCreate,
    ReportPage,
    ReportPublish,
    ReportSummary,
)
from services.sla.reports.service import reporting as service
from services.sla.reports.service import scheduling
from shared.data.listing import Listing
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, table_of
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router
from shared.web.texts import TEXT, verbatim

router = new_router("reports", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_REPORT)]
Overdue = Annotated[bool | SkipJsonSchema[None], Query(description="published, or not, after the due time")]
REPORTS = table_of(ReportSummary)


@router.post("/slas/{sla_id}/reports", status_code=201, response_model=Report)
async def create_report(
    sla_id: UUID,
    form: ReportCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.DRAFT_REPORT)],
) -> models.Report:
    """Schedule a report by hand; the timer schedules those of running SLAs."""
    return tagged(response, await scheduling.create(session, caller, sla_id, form, now))


async def _wanted(
    sla_id: Several[UUID] = None,
    state: Several[ReportState] = None,
    period: Several[PeriodLabel] = None,
    overdue: Overdue = None,
) -> Listing[models.Report]:
    return queries.reports(sla_id=sla_id, state=state, period=period, overdue=overdue)


Wanted = Annotated[Listing[models.Report], Depends(_wanted)]


@router.get("/reports", response_model=ReportPage)
async def list_reports(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[models.Report]:
    """Reports; `from` and `to` bound the start of their period."""
    return await paginate(session, wanted, page)


@router.get("/reports.csv", response_class=CsvStream)
async def export_reports(session: Session, export: Exporting, wanted: Wanted, caller: MayRead) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "reports", wanted, REPORTS)


@router.get(
    "/reports/{report_id}.html", response_class=Response, responses={200: {"content": {"text/html": {}}}}
)
async def get_report_page(report_id: UUID, session: Session, caller: MayRead) -> Response:
    """The report as a page to read and print."""
    return render(Report.model_validate(await service.get(session, caller, report_id)))


@router.get("/reports/{report_id}", response_model=Report)
async def get_report(report_id: UUID, response: Response, session: Session, caller: MayRead) -> models.Report:
    return tagged(response, await service.get(session, caller, report_id))


@router.get("/reports/{report_id}/result_text", response_class=Response, responses=TEXT)
async def get_report_result_text(report_id: UUID, session: Session, caller: MayRead) -> Response:
    """The exact bytes that `result_hash` is of: definitions and exact results as they were computed."""
    report = await service.get_text(session, caller, report_id)
    return verbatim(report, *report.computed)


@router.post("/reports/{report_id}/draft", response_model=Report)
async def draft_report(
    report_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.DRAFT_REPORT)],
) -> models.Report:
    """Compute the lines from the observations in effect; again as often as needed until publication."""
    return tagged(response, await service.draft(session, caller, report_id, expected, now))


@router.patch("/reports/{report_id}/commentary", response_model=Report)
async def comment_report(
    report_id: UUID,
    form: ReportCommentary,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.COMMENT_REPORT)],
) -> models.Report:
    """Give the summary and the causes of misses."""
    return tagged(response, await service.comment(session, caller, report_id, form, expected, now))


@router.post("/reports/{report_id}/publish", response_model=Report)
async def publish_report(
    report_id: UUID,
    form: ReportPublish,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.PUBLISH_REPORT)],
) -> models.Report:
    """Attest and publish for good; every miss needs its cause first."""
    return tagged(response, await service.publish(session, caller, report_id, form, expected, now))


@router.post("/reports/{report_id}/acknowledge", response_model=Report)
async def acknowledge_report(
    report_id: UUID,
    form: ReportAcknowledge,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.ACKNOWLEDGE_REPORT)],
) -> models.Report:
    """Confirm receipt without dispute; that is no waiver."""
    return tagged(response, await service.acknowledge(session, caller, report_id, form, expected, now))
