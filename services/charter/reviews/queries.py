"""Selects about reviews. Row-level security already hides what the caller may not see."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from services.charter.charters.models import Charter
from services.charter.reviews.models import Review
from shared.data.listing import Listing, any_of
from shared.data.session import given
from shared.reviews.domain import OVERDUE, ReviewState


def reviews(
    *,
    charter_id: Sequence[UUID] | None = None,
    state: Sequence[ReviewState] | None = None,
    overdue: bool | None = None,
) -> Listing[Review]:
    """Reviews by the day they are due, each with its charter's number and title."""
    wanted = (
        select(Review, Charter.number, Charter.title)
        .join(Charter, Charter.id == Review.subject_id)
        .where(
            *any_of(Review.charter_id, charter_id),
            *any_of(Review.state, state),
            *given(Review.raised.contains([OVERDUE]), overdue),
        )
    )
    return Listing(wanted, Review, dated=Review.due)
