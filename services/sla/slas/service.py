"""Register SLAs with their metrics and the timeline of their reports."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.agreements.models import Agreement
from services.sla.metrics.schemas import as_document
from services.sla.reviews.service import REVIEWS
from services.sla.slas import policy
from services.sla.slas.domain import (
    check_calendar,
    check_not_ended,
    check_sla,
    first_period,
    report_obligation,
)
from services.sla.slas.models import Sla
from services.sla.slas.schemas import SlaCreate
from shared.calendars.fiscal import Period, bounds
from shared.calendars.zones import day_in
from shared.contracts.governance import ExecutableCharter
from shared.contracts.sla import SlaRegistered
from shared.data.directory import governance
from shared.data.history import Act, record
from shared.data.numbering import next_number
from shared.data.session import inherited, load
from shared.pure.refusal import checking_input
from shared.reviews.domain import SubjectKind, Term, first_due
from shared.runtime.due import schedule
from shared.web.authz import Principal, require

PERIOD_END = "sla.period_end"


async def register(session: AsyncSession, caller: Principal, form: SlaCreate, now: datetime) -> Sla:
    """A new SLA under an agreement of a charter in force."""
    agreement = await load(session, Agreement, form.agreement_id)
    require(caller, policy.REGISTER_SLA, agreement.scope)
    charter = (await governance(session, agreement.charter_id)).content
    metrics = tuple(metric.as_domain() for metric in form.metrics)
    with checking_input():
        dates = (agreement.start_date, agreement.end_date)
        check_sla(form.effective_date, form.end_date, dates, metrics)
        check_calendar(charter, form.calendar)
    zone = charter.calendar(form.calendar).zone
    check_not_ended(agreement.end_date, day_in(zone, now))
    sla = _drawn_up(form, agreement, charter, now)
    sla.metrics = [as_document(metric) for metric in metrics]
    sla.number = await next_number(session, "SLA", agreement.charter_id, now)
    session.add(sla)
    first = first_period(sla.period, sla.effective_date, sla.end_date, day_in(zone, now))
    await set_next_report(session, sla, first, zone)
    event = SlaRegistered(
        sla_id=sla.id,
        agreement_id=agreement.id,
        title=sla.title,
        service=sla.service,
        next_review_due=sla.next_review_due,
    )
    await record(session, sla, Act(policy.REGISTER_SLA.name, event), by=caller, now=now)
    await REVIEWS.open(session, SubjectKind.sla, sla, zone, now)
    return sla


async def set_next_report(session: AsyncSession, sla: Sla, period: Period | None, zone: str) -> None:
    """The next period to report, and the instant at which it has ended; None: no more reports."""
    sla.next_period_start = period.start_date if period else None
    sla.next_report_at = bounds(period, zone)[1] if period else None
    if sla.next_report_at:
        await schedule(session, PERIOD_END, sla, sla.next_report_at)


def _drawn_up(form: SlaCreate, agreement: Agreement, charter: ExecutableCharter, now: datetime) -> Sla:
    owed = report_obligation(charter)
    acknowledge = form.acknowledge_within_business_days or owed.acknowledge_within_business_days
    return Sla(
        **inherited(agreement, now),
        **form.model_dump(
            exclude={"metrics", "due_business_day", "acknowledge_within_business_days", "next_review_due"}
        ),
        due_business_day=form.due_business_day or owed.due_business_day,
        acknowledge_within_business_days=acknowledge,
        next_review_due=first_due(
            form.effective_date, form.next_review_due, Term(form.end_date, agreement.termination_days)
        ),
    )
