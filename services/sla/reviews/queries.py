"""Selects of reviews worth a name."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.reviews.models import Review
from shared.pure.refusal import Missing
from shared.reviews.domain import ReviewState


async def open_review(session: AsyncSession, subject_id: UUID, *, for_update: bool = False) -> Review:
    """The running review of an agreement or SLA."""
    statement = select(Review).where(Review.subject_id == subject_id, Review.state == ReviewState.open)
    row = (await session.scalars(statement.with_for_update() if for_update else statement)).one_or_none()
    if row is None:
        raise Missing("review")
    return row
