"""Registering organizations."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.organizations import policy
from services.charter.organizations.models import Organization
from services.charter.organizations.schemas import OrganizationCreate
from shared.contracts.charter import OrganizationRegistered
from shared.data.history import Act, record
from shared.web.authz import Principal


async def register(
    session: AsyncSession, caller: Principal, form: OrganizationCreate, now: datetime
) -> Organization:
    """Make an organization known to all services."""
    row = Organization(name=form.name, aid=form.aid)
    session.add(row)
    event = OrganizationRegistered(org_id=row.id, name=row.name, aid=row.aid)
    await record(session, row, Act(policy.REGISTER_ORGANIZATION.name, event), by=caller, now=now)
    return row


async def organization_of(session: AsyncSession, caller: Principal) -> Organization | None:
    """The caller's organization; None for a platform administrator without one."""
    result = await session.scalars(select(Organization).where(Organization.id == caller.org_id))
    return result.one_or_none()
