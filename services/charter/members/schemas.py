"""Members, in and out."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from services.charter.organizations.schemas import Organization
from shared.contracts.governance import Role
from shared.web.pages import Page
from shared.web.schemas import In, Out, Patch, Text

Roles = Annotated[list[Role], Field(max_length=len(Role), examples=[["business_owner"]])]


class MemberCreate(In):
    """`issuer` and `subject` are the `iss` and `sub` of the person's tokens."""

    issuer: Text
    subject: Text
    display_name: Text
    roles: Roles


class MemberPatch(Patch):
    roles: Roles | SkipJsonSchema[None] = None


class Member(Out):
    id: UUID
    version: int
    org_id: UUID
    issuer: str
    subject: str
    display_name: str
    roles: list[str]
    active: bool
    created_at: datetime
    updated_at: datetime


class MemberPage(Page[Member]):
    """One page of members."""


class Me(Out):
    """Who the service takes the caller for. Platform administrators belong to no organization."""

    member_id: UUID | None
    display_name: str
    organization: Organization | None
    roles: list[Role]
    is_sysadmin: bool
