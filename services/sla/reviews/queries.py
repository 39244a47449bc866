"""Selects of reviews worth a name."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select

from services.sla.agreements.models import Agreement
from services.sla.reviews.models import Review
from services.sla.slas.models import Sla
from shared.data.listing import Listing, any_of
from shared.data.session import given
from shared.reviews.domain import OVERDUE, ReviewState, SubjectKind


def reviews(
    *,
    charter_id: Sequence[UUID] | None = None,
    subject_kind: Sequence[SubjectKind] | None = None,
    subject_id: Sequence[UUID] | None = None,
    state: Sequence[ReviewState] | None = None,
    overdue: bool | None = None,
) -> Listing[Review]:
    """Reviews by the day they are due, each with the number and title of its agreement or SLA."""
    wanted = (
        select(Review, func.coalesce(Agreement.number, Sla.number), func.coalesce(Agreement.title, Sla.title))
        .outerjoin(Agreement, Agreement.id == Review.subject_id)
        .outerjoin(Sla, Sla.id == Review.subject_id)
        .where(
            *any_of(Review.charter_id, charter_id),
            *any_of(Review.subject_kind, subject_kind),
            *any_of(Review.subject_id, subject_id),
            *any_of(Review.state, state),
            *given(Review.raised.contains([OVERDUE]), overdue),
        )
    )
    return Listing(wanted, Review, dated=Review.due)
