"""The yearly review of a charter (M3 R3), which both parties determine."""

from datetime import date, datetime

from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.charters.models import Charter
from services.charter.charters.service.termination import begin_termination
from services.charter.reviews import policy
from services.charter.reviews.models import Review, ReviewStatement
from shared.contracts.charter import CharterReviewDetermined, CharterReviewDueSoon, CharterReviewOverdue
from shared.reviews.domain import Determination, SubjectKind, Term
from shared.reviews.service import Reviews, Subject


async def _lasts(session: AsyncSession, charter: Charter) -> Term:
    """A charter has no last day of its own."""
    return Term()


def _due_soon(charter: Charter, due: date, left: int) -> CharterReviewDueSoon:
    return CharterReviewDueSoon(charter_id=charter.id, title=charter.title, due=due, days_left=left)


def _overdue(charter: Charter, due: date) -> CharterReviewOverdue:
    return CharterReviewOverdue(charter_id=charter.id, title=charter.title, due=due)


def _determined(charter: Charter, outcome: Determination, now: datetime) -> CharterReviewDetermined:
    return CharterReviewDetermined(
        charter_id=charter.id,
        outcome=outcome.value,
        determined_at=now,
        next_review_due=charter.next_review_due,
    )


CHARTER = Subject(
    model=Charter,
    term=_lasts,
    due_soon=_due_soon,
    overdue=_overdue,
    determined=_determined,
    end=begin_termination,
)
REVIEWS = Reviews(
    "charter.review", Review, ReviewStatement, policy.DETERMINE_REVIEW, {SubjectKind.charter: CHARTER}
)
