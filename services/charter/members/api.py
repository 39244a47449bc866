"""Members: the people of an organization and what they do for it."""

from typing import Annotated
from uuid import UUID

from fastapi import Response

from services.charter.members import models, policy, queries, service
from services.charter.members.schemas import Me, Member, MemberCreate, MemberPage, MemberPatch
from services.charter.organizations.models import Organization
from services.charter.organizations.service import organization_of
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import NOBODY, Principal
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("members", prefix="/charter/v1")

MayRead = Annotated[Principal, allow(policy.READ_MEMBER)]
MayChange = Annotated[Principal, allow(policy.CHANGE_MEMBER)]


@router.get("/me")
async def get_me(session: Session, caller: Annotated[Principal, allow(policy.READ_SELF)]) -> Me:
    """Who the bearer of the token is here."""
    return Me(
        member_id=None if caller.member_id == NOBODY else caller.member_id,
        display_name=caller.display_name,
        organization=await organization_of(session, caller),
        roles=sorted(caller.roles),
        is_sysadmin=caller.is_sysadmin,
    )


@router.post("/organizations/{organization_id}/members", status_code=201, response_model=Member)
async def create_member(
    organization_id: UUID,
    form: MemberCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: MayChange,
) -> models.Member:
    """Give a person a place in the organization. A person belongs to one organization only."""
    return tagged(response, await service.add_member(session, caller, organization_id, form, now))


@router.get("/organizations/{organization_id}/members", response_model=MemberPage)
async def list_members(
    organization_id: UUID, session: Session, page: PageQuery, caller: MayRead
) -> Rows[models.Member]:
    """The organization's members, former ones included."""
    organization = await load(session, Organization, organization_id)
    return await paginate(session, queries.members_of(organization.id), page)


@router.get("/members/{member_id}", response_model=Member)
async def get_member(member_id: UUID, response: Response, session: Session, caller: MayRead) -> models.Member:
    return tagged(response, await load(session, models.Member, member_id))


@router.patch("/members/{member_id}", response_model=Member)
async def update_member(
    member_id: UUID,
    form: MemberPatch,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: MayChange,
) -> models.Member:
    """Replace the member's roles."""
    row = await service.change(session, caller, member_id, form, expected, now)
    return tagged(response, row)


@router.post("/members/{member_id}/remove", response_model=Member)
async def remove_member(
    member_id: UUID, response: Response, session: Session, now: Now, expected: IfMatch, caller: MayChange
) -> models.Member:
    """End the membership. The person's tokens stop working here at once."""
    return tagged(response, await service.remove(session, caller, member_id, expected, now))
