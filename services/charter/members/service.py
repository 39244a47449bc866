"""Keeping the members of an organization."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.charter.members import policy
from services.charter.members.models import Member
from services.charter.members.schemas import MemberCreate, MemberPatch
from services.charter.organizations.models import Organization
from shared.contracts.charter import MemberChanged
from shared.contracts.governance import Role
from shared.data.history import Act, record
from shared.data.ids import uuid7
from shared.data.session import load, load_for_update
from shared.pure.refusal import Forbidden, Refused
from shared.web.authz import Principal


async def add_member(
    session: AsyncSession, caller: Principal, org_id: UUID, form: MemberCreate, now: datetime
) -> Member:
    """Give a person a place in an organization: one at a time, anywhere. Who left may come back, to any of them."""
    organization = await load(session, Organization, org_id)
    _require_own(caller, organization.id)
    row = await _claim_identity(session, organization.id, form, now)
    await _record(session, caller, row, now)
    return row


async def _claim_identity(session: AsyncSession, org_id: UUID, form: MemberCreate, now: datetime) -> Member:
    """Insert the member; refused while the person has a place, in whichever organization."""
    member_id = uuid7()
    claimed = await session.execute(
        insert(Member)
        .values(
            id=member_id,
            version=0,
            org_id=org_id,
            issuer=form.issuer,
            subject=form.subject,
            display_name=form.display_name,
            roles=_names(form.roles),
            active=True,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
        .returning(Member.id)
    )
    if claimed.scalar_one_or_none() is None:
        message = "This person belongs to an organization already; nobody may act for two."
        raise Refused("already_a_member", message)
    return await load(session, Member, member_id)


async def change(
    session: AsyncSession,
    caller: Principal,
    member_id: UUID,
    form: MemberPatch,
    expected: int,
    now: datetime,
) -> Member:
    """Replace a member's roles."""
    row = await _load_own(session, caller, member_id, expected)
    if form.roles is None:
        return row
    row.roles = _names(form.roles)
    await _record(session, caller, row, now)
    return row


async def remove(
    session: AsyncSession, caller: Principal, member_id: UUID, expected: int, now: datetime
) -> Member:
    """End a membership. What the person did stays on record."""
    row = await _load_own(session, caller, member_id, expected)
    row.active = False
    await _record(session, caller, row, now)
    return row


async def _load_own(session: AsyncSession, caller: Principal, member_id: UUID, expected: int) -> Member:
    row = await load_for_update(session, Member, member_id, expected)
    _require_own(caller, row.org_id)
    if not row.active:
        raise Refused("member_removed", "This membership has ended.")
    return row


def _require_own(caller: Principal, org_id: UUID) -> None:
    if not caller.is_sysadmin and caller.org_id != org_id:
        raise Forbidden("other_organization", "Only the organization's own administrators may do this.")


def _names(roles: list[Role]) -> list[str]:
    return sorted({str(role) for role in roles})


async def _record(session: AsyncSession, caller: Principal, row: Member, now: datetime) -> None:
    event = MemberChanged(
        member_id=row.id,
        org_id=row.org_id,
        issuer=row.issuer,
        subject=row.subject,
        display_name=row.display_name,
        roles=tuple(row.roles),
        active=row.active,
    )
    await record(session, row, Act(policy.CHANGE_MEMBER.name, event), by=caller, now=now)
