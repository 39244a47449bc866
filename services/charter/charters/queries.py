"""Selects about charters. Row-level security already hides what the caller may not see."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from services.charter.charters.domain.states import CharterState
from services.charter.charters.models import Charter, CharterService, CharterVersion, Signature
from services.charter.members.models import Member
from shared.contracts.governance import Party
from shared.data.listing import Listing, any_of
from shared.data.session import load
from shared.pure.refusal import Missing

BATCH = 50


def charters(state: Sequence[CharterState] | None = None) -> Listing[Charter]:
    """The caller's charters, in any of several states, without their texts."""
    wanted = select(Charter).options(defer(Charter.text, raiseload=True)).where(*any_of(Charter.state, state))
    return Listing(wanted, Charter)


async def worded(
    session: AsyncSession, charter_id: UUID, charter_version: int | None
) -> Charter | CharterVersion:
    """The row that holds the text as it is now, or that of a version; `Missing` when it was never ratified."""
    if charter_version is None:
        return await load(session, Charter, charter_id)
    result = await session.scalars(
        select(CharterVersion).where(
            CharterVersion.charter_id == charter_id, CharterVersion.charter_version == charter_version
        )
    )
    row = result.one_or_none()
    if row is None:
        raise Missing("ratified charter version")
    return row


async def signatures(session: AsyncSession, charter: Charter) -> list[Signature]:
    """The signatures that stand under the charter's present text, oldest first."""
    rows = await session.scalars(
        select(Signature)
        .where(
            Signature.charter_id == charter.id,
            Signature.charter_version == charter.charter_version,
            Signature.voided_at.is_(None),
        )
        .order_by(Signature.id)
    )
    return list(rows)


async def parties_of_members(session: AsyncSession, charter: Charter) -> dict[str, Party]:
    """The active members of both parties, by id."""
    sides = {charter.customer_org_id: Party.customer, charter.provider_org_id: Party.provider}
    rows = await session.execute(
        select(Member.id, Member.org_id).where(Member.org_id.in_(sides), Member.active)
    )
    return {str(member_id): sides[org_id] for member_id, org_id in rows}


async def governed_elsewhere(session: AsyncSession, charter: Charter) -> dict[str, str]:
    """Services that other ratified charters of the same parties govern, with the number of the charter."""
    rows = await session.execute(
        select(CharterService.service, Charter.number)
        .join(Charter, Charter.id == CharterService.charter_id)
        .where(
            CharterService.customer_org_id == charter.customer_org_id,
            CharterService.provider_org_id == charter.provider_org_id,
            CharterService.charter_id != charter.id,
        )
    )
    return {row.service: row.number for row in rows}
