"""Selects of reviews worth a name."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.reviews.models import Review
from shared.data.session import claimed
from shared.pure.refusal import Missing
from shared.reviews.domain import ReviewState


async def open_review(session: AsyncSession, subject_id: UUID, *, for_update: bool = False) -> Review:
    """The running review of an agreement or SLA."""
    statement = select(Review).where(Review.subject_id == subject_id, Review.state == ReviewState.open)
    row = (await session.scalars(statement.with_for_update() if for_update else statement)).one_or_none()
    if row is None:
        raise Missing("review")
    return row


async def reviews_to_look_at(session: AsyncSession, now: datetime) -> list[Review]:
    """Open reviews whose clock has something to say; claimed for this transaction."""
    due = select(Review).where(Review.state == ReviewState.open, Review.wakes_at <= now)
    return await claimed(session, due.order_by(Review.wakes_at))
