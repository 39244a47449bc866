"""Selects worth a name. Row-level security already hides what the caller may not see."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.domain.states import CharterState
from services.charter.models import Charter, CharterReview, CharterVersion, Member, ReviewStatement, Signature
from shared.contracts.governance import Party
from shared.reviews.domain import ReviewState
from shared.web.pages import PageRequest, Rows, paginate
from shared.web.problems import NotFound

BATCH = 50


def charters(state: CharterState | None) -> Select[Charter]:
    """The caller's charters, in one state or in any."""
    statement = select(Charter)
    return statement if state is None else statement.where(Charter.state == state)


async def charter_page(session: AsyncSession, state: CharterState | None, page: PageRequest) -> Rows[Charter]:
    return await paginate(session, charters(state), Charter, page)


async def ratified_version(session: AsyncSession, charter_id: UUID, charter_version: int) -> CharterVersion:
    """The signed text of a version; `NotFound` when that version was never ratified."""
    found = await session.scalars(
        select(CharterVersion).where(
            CharterVersion.charter_id == charter_id, CharterVersion.charter_version == charter_version
        )
    )
    row = found.one_or_none()
    if row is None:
        raise NotFound("ratified charter version")
    return row


async def signatures(session: AsyncSession, charter: Charter) -> list[Signature]:
    """The signatures that stand under the charter's present text, oldest first."""
    found = await session.scalars(
        select(Signature)
        .where(
            Signature.charter_id == charter.id,
            Signature.charter_version == charter.charter_version,
            Signature.voided_at.is_(None),
        )
        .order_by(Signature.id)
    )
    return list(found)


async def open_review(session: AsyncSession, charter_id: UUID, *, for_update: bool = False) -> CharterReview:
    """The charter's running review; `NotFound` before its first activation."""
    statement = select(CharterReview).where(
        CharterReview.charter_id == charter_id, CharterReview.state == ReviewState.open
    )
    row = (await session.scalars(statement.with_for_update() if for_update else statement)).one_or_none()
    if row is None:
        raise NotFound("charter review")
    return row


async def statements(session: AsyncSession, review: CharterReview) -> Mapping[Party, ReviewStatement]:
    """What each party has determined so far."""
    rows = await session.scalars(select(ReviewStatement).where(ReviewStatement.review_id == review.id))
    return {row.party: row for row in rows}


async def parties_of_members(session: AsyncSession, charter: Charter) -> dict[str, Party]:
    """The active members of both parties, by id."""
    sides = {charter.customer_org_id: Party.customer, charter.provider_org_id: Party.provider}
    rows = await session.execute(
        select(Member.id, Member.org_id).where(Member.org_id.in_(sides), Member.active)
    )
    return {str(member_id): sides[org_id] for member_id, org_id in rows}


async def charters_to_activate(session: AsyncSession, now: datetime) -> list[Charter]:
    """Ratified charters whose effective date has begun; claimed for this transaction."""
    found = await session.scalars(
        select(Charter)
        .where(Charter.state == CharterState.ratification, Charter.activates_at <= now)
        .order_by(Charter.activates_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return list(found)


async def reviews_to_look_at(session: AsyncSession, now: datetime) -> list[CharterReview]:
    """Open reviews whose clock has something to say; claimed for this transaction."""
    found = await session.scalars(
        select(CharterReview)
        .where(CharterReview.state == ReviewState.open, CharterReview.wakes_at <= now)
        .order_by(CharterReview.wakes_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return list(found)
