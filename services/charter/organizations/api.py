"""Organizations: the agencies and providers the platform knows."""

from typing import Annotated
from uuid import UUID

from fastapi import Response

from services.charter.organizations import models, policy, queries, service
from services.charter.organizations.schemas import Organization, OrganizationCreate, OrganizationPage
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import tagged
from shared.web.route import new_router

router = new_router("organizations", prefix="/charter/v1")


@router.post("/organizations", status_code=201, response_model=Organization)
async def create_organization(
    form: OrganizationCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.REGISTER_ORGANIZATION)],
) -> models.Organization:
    """Register an organization. Platform administrators only."""
    return tagged(response, await service.register(session, caller, form, now))


@router.get("/organizations", response_model=OrganizationPage)
async def list_organizations(
    session: Session, page: PageQuery, caller: Annotated[Principal, allow(policy.READ_ORGANIZATION)]
) -> Rows[models.Organization]:
    """The caller's organization and those it shares a charter with."""
    return await paginate(session, queries.organizations(), page)


@router.get("/organizations/{organization_id}", response_model=Organization)
async def get_organization(
    organization_id: UUID,
    response: Response,
    session: Session,
    caller: Annotated[Principal, allow(policy.READ_ORGANIZATION)],
) -> models.Organization:
    return tagged(response, await load(session, models.Organization, organization_id))
