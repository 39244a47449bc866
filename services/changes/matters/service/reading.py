"""One matter, decision or escalation, as its reader sees it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters import policy
from services.changes.matters.models import Decision, Escalation, Matter
from shared.data.history import timeline
from shared.data.session import load
from shared.pure.refusal import Missing
from shared.web.authz import Principal, require


async def get_matter(session: AsyncSession, caller: Principal, matter_id: UUID) -> Matter:
    """One matter with its positions and its history."""
    matter = await load(session, Matter, matter_id)
    require(caller, policy.READ_MATTERS, matter.scope)
    return await detailed(session, matter)


async def detailed(session: AsyncSession, matter: Matter) -> Matter:
    """The matter with its positions and its history loaded."""
    await session.flush()
    await session.refresh(matter, ["votes"])
    matter.timeline = await timeline(session, matter.id)
    return matter


async def get_decision(session: AsyncSession, caller: Principal, decision_id: UUID) -> Decision:
    row = await load(session, Decision, decision_id)
    require(caller, policy.READ_DECISIONS, row.scope)
    return row


async def get_text(
    session: AsyncSession, caller: Principal, decision_id: UUID
) -> tuple[Decision, bytes, int]:
    """The decision, the bytes it is on, and their format; `Missing` where another service keeps them."""
    row = await get_decision(session, caller, decision_id)
    await session.refresh(row, ["subject_text", "text_format"])
    if row.subject_text is None or row.text_format is None:
        raise Missing("text in this service")
    return row, row.subject_text, row.text_format


async def get_escalation(session: AsyncSession, caller: Principal, escalation_id: UUID) -> Escalation:
    row = await load(session, Escalation, escalation_id)
    require(caller, policy.READ_ESCALATIONS, row.scope)
    row.timeline = await timeline(session, row.id)
    return row
