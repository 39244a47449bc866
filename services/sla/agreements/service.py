"""Register agreements."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.agreements import policy
from services.sla.agreements.domain import check_agreement
from services.sla.agreements.models import Agreement
from services.sla.agreements.schemas import AgreementCreate
from services.sla.reviews.service import REVIEWS
from shared.contracts.sla import AgreementRegistered
from shared.data.database_errors import refusing
from shared.data.directory import governance
from shared.data.history import Act, record
from shared.data.numbering import next_number
from shared.pure.refusal import Refused, checking_input
from shared.reviews.domain import SubjectKind, Term, first_due
from shared.web.authz import Principal, require


async def register(
    session: AsyncSession, caller: Principal, form: AgreementCreate, now: datetime
) -> Agreement:
    """A new agreement under a charter in force; its first review is due within 365 days of its start, and before its end must be decided."""
    charter = await governance(session, form.charter_id)
    require(caller, policy.REGISTER_AGREEMENT, charter.scope)
    with checking_input():
        check_agreement(form.kind, form.gtc_number, form.total_amount, form.start_date, form.end_date)
    values = form.model_dump(exclude={"next_review_due"})
    agreement = Agreement(
        **values,
        customer_org_id=charter.customer_org_id,
        provider_org_id=charter.provider_org_id,
        number=await next_number(session, "AGR", form.charter_id, now),
        next_review_due=first_due(
            form.start_date, form.next_review_due, Term(form.end_date, form.termination_days)
        ),
    )
    session.add(agreement)
    event = AgreementRegistered(
        agreement_id=agreement.id,
        number=agreement.number,
        title=agreement.title,
        start_date=agreement.start_date,
        end_date=agreement.end_date,
        next_review_due=agreement.next_review_due,
    )
    taken = (
        "The customer has an agreement with this GT&C number; what changes it is a modification of that one."
    )
    with refusing(
        {"uq_agreement_customer_org_id_gtc_number": Refused("gtc_number_taken", taken, "/gtc_number")}
    ):
        await record(session, agreement, Act(policy.REGISTER_AGREEMENT.name, event), by=caller, now=now)
    zone = charter.content.calendars[0].zone
    await REVIEWS.open(session, SubjectKind.agreement, agreement, zone, now)
    return agreement
