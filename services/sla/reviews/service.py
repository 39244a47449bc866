"""The yearly reviews of agreements and SLAs (M3 R5), which the customer determines."""

from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.agreements.models import Agreement
from services.sla.reviews import policy
from services.sla.reviews.models import Review, ReviewStatement
from services.sla.slas.models import Sla
from shared.contracts.sla import (
    AgreementReviewCancelled,
    AgreementReviewDetermined,
    AgreementReviewDueSoon,
    AgreementReviewOverdue,
    SlaReviewCancelled,
    SlaReviewDetermined,
    SlaReviewDueSoon,
    SlaReviewOverdue,
)
from shared.data.session import load
from shared.reviews.domain import Determination, SubjectKind, Term
from shared.reviews.service import Reviews, Subject


async def _agreement_lasts(session: AsyncSession, agreement: Agreement) -> Term:
    return Term(agreement.end_date, agreement.termination_days)


async def _sla_lasts(session: AsyncSession, sla: Sla) -> Term:
    """An SLA has no notice of its own: what its agreement says holds for it."""
    agreement = await load(session, Agreement, sla.agreement_id)
    return Term(sla.end_date, agreement.termination_days)


def _agreement_determined(
    agreement: Agreement, outcome: Determination, now: datetime
) -> AgreementReviewDetermined:
    return AgreementReviewDetermined(
        agreement_id=agreement.id,
        outcome=outcome.value,
        determined_at=now,
        next_review_due=agreement.next_review_due,
    )


def _sla_determined(sla: Sla, outcome: Determination, now: datetime) -> SlaReviewDetermined:
    return SlaReviewDetermined(
        sla_id=sla.id, outcome=outcome.value, determined_at=now, next_review_due=sla.next_review_due
    )


def _agreement_due_soon(agreement: Agreement, due: date, left: int) -> AgreementReviewDueSoon:
    return AgreementReviewDueSoon(agreement_id=agreement.id, title=agreement.title, due=due, days_left=left)


AGREEMENT = Subject(
    model=Agreement,
    term=_agreement_lasts,
    due_soon=_agreement_due_soon,
    overdue=lambda row, due: AgreementReviewOverdue(agreement_id=row.id, title=row.title, due=due),
    determined=_agreement_determined,
    cancelled=lambda row, due: AgreementReviewCancelled(
        agreement_id=row.id, title=row.title, due=due, ended=row.end_date
    ),
)
SLA = Subject(
    model=Sla,
    term=_sla_lasts,
    due_soon=lambda row, due, left: SlaReviewDueSoon(sla_id=row.id, title=row.title, due=due, days_left=left),
    overdue=lambda row, due: SlaReviewOverdue(sla_id=row.id, title=row.title, due=due),
    determined=_sla_determined,
    cancelled=lambda row, due: SlaReviewCancelled(
        sla_id=row.id, title=row.title, due=due, ended=row.end_date
    ),
)
REVIEWS = Reviews(
    "review",
    Review,
    ReviewStatement,
    policy.DETERMINE_REVIEW,
    {SubjectKind.agreement: AGREEMENT, SubjectKind.sla: SLA},
)
