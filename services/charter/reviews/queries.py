"""Selects about reviews. Row-level security already hides what the caller may not see."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import selectinload

from services.charter.charters.models import Charter
from services.charter.reviews.models import CharterReview, ReviewStatement
from shared.contracts.governance import Party
from shared.data.listing import Listing, any_of
from shared.data.session import given
from shared.pure.refusal import Missing
from shared.reviews.domain import OVERDUE, ReviewState


def reviews(
    *,
    charter_id: Sequence[UUID] | None = None,
    state: Sequence[ReviewState] | None = None,
    overdue: bool | None = None,
) -> Listing[CharterReview]:
    """Reviews by the day they are due, each with its charter's number and title."""
    wanted = (
        select(CharterReview, Charter.number, Charter.title)
        .join(Charter, Charter.id == CharterReview.charter_id)
        .options(selectinload(CharterReview.statements))
        .where(
            *any_of(CharterReview.charter_id, charter_id),
            *any_of(CharterReview.state, state),
            *given(CharterReview.raised.contains([OVERDUE]), overdue),
        )
    )
    return Listing(wanted, CharterReview, dated=CharterReview.due)


async def open_review(session: AsyncSession, charter_id: UUID, *, for_update: bool = False) -> CharterReview:
    """The charter's running review; `Missing` before its first activation."""
    statement = select(CharterReview).where(
        CharterReview.charter_id == charter_id, CharterReview.state == ReviewState.open
    )
    row = (await session.scalars(statement.with_for_update() if for_update else statement)).one_or_none()
    if row is None:
        raise Missing("charter review")
    return row


async def statements(session: AsyncSession, review: CharterReview) -> Mapping[Party, ReviewStatement]:
    """What each party has determined so far."""
    rows = await session.scalars(select(ReviewStatement).where(ReviewStatement.review_id == review.id))
    return {row.party: row for row in rows}
