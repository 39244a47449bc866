"""Which reports are owed and when: as periods end, or asked for by hand."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.sla.reports import policy, queries
from services.sla.reports.domain import ReportState, report_due
from services.sla.reports.models import Report
from services.sla.reports.schemas import ReportCreate
from services.sla.results.service import period_of_sla
from services.sla.slas.domain import following
from services.sla.slas.models import Sla
from services.sla.slas.service import set_next_report
from shared.calendars.business_time import business_calendar
from shared.calendars.fiscal import Period, period_of
from shared.contracts.sla import AcknowledgementOverdue, ReportOverdue
from shared.data.directory import governance
from shared.data.history import Act, record
from shared.data.numbering import next_number
from shared.data.session import inherited, load_for_update
from shared.pure.refusal import Refused
from shared.runtime.due import Step, just_after, schedule
from shared.web.authz import SYSTEM, Actor, Principal, require

PUBLICATION = "report.publication"
ACKNOWLEDGEMENT = "report.acknowledgement"


async def create(
    session: AsyncSession, caller: Principal, sla_id: UUID, form: ReportCreate, now: datetime
) -> Report:
    """Schedule the report of a period by hand; `Refused` when it exists already."""
    sla = await load_for_update(session, Sla, sla_id, None)
    require(caller, policy.DRAFT_REPORT, sla.scope)
    period = period_of_sla(sla, form.period)
    if await queries.report_of(session, sla.id, period.label) is not None:
        raise Refused("report_exists", f"The report for {period.label} exists already.")
    return await _schedule(session, caller, sla, period, now)


async def schedule_ended(session: AsyncSession, sla: Sla, step: Step, now: datetime) -> None:
    """Schedule the report of the period that has ended, and look ahead to the end of the next one."""
    assert sla.next_period_start is not None  # it stands beside the instant that has come
    period = period_of(sla.period, sla.next_period_start)
    if await queries.report_of(session, sla.id, period.label) is None:
        await _schedule(session, SYSTEM, sla, period, now)
    charter = await governance(session, sla.charter_id)
    zone = charter.content.calendar(sla.calendar).zone
    await set_next_report(session, sla, following(period, sla.end_date), zone)


async def mark_overdue(session: AsyncSession, report: Report, step: Step, now: datetime) -> None:
    """Say once that the report was not published in time (M3 R4)."""
    report.overdue_at = now
    event = ReportOverdue(
        report_id=report.id,
        sla_id=report.sla_id,
        title=report.title,
        period=report.period,
        due=step.due_at,
    )
    await record(session, report, Act("report.overdue", event), by=SYSTEM, now=now)


async def mark_unanswered(session: AsyncSession, report: Report, step: Step, now: datetime) -> None:
    """Say once that the customer has not answered the published report in its window."""
    report.ack_overdue_at = now
    event = AcknowledgementOverdue(
        report_id=report.id,
        sla_id=report.sla_id,
        title=report.title,
        period=report.period,
        due=step.due_at,
    )
    await record(session, report, Act("report.ack_overdue", event), by=SYSTEM, now=now)


async def _schedule(session: AsyncSession, by: Actor, sla: Sla, period: Period, now: datetime) -> Report:
    charter = await governance(session, sla.charter_id)
    rules = charter.content.calendar(sla.calendar)
    report = Report(
        **inherited(sla, now),
        number=await next_number(session, "SR", sla.charter_id, now),
        sla_id=sla.id,
        sla_number=sla.number,
        title=f"{sla.title}, {period.label}",
        period=period.label,
        period_start=period.start_date,
        period_end=period.last_day,
        state=ReportState.scheduled,
        due_at=report_due(period, business_calendar(rules), sla.due_business_day),
        due_rule=f"end of business day {sla.due_business_day} after {period.last_day}",
        calendar=rules.key,
        calendar_version=rules.version,
        charter_version=charter.charter_version,
        zone=rules.zone,
        summary="",
        remarks="",
    )
    session.add(report)
    await schedule(session, PUBLICATION, report, report.due_at, just_after(report.due_at))
    detail = {"period": period.label, "due_at": report.due_at, "due_rule": report.due_rule}
    await record(session, report, Act("report.schedule", detail=detail), by=by, now=now)
    set_committed_value(report, "results", [])
    return report
