"""Selects of members."""

from uuid import UUID

from sqlalchemy import Select, select

from services.charter.members.models import Member


def members_of(organization_id: UUID) -> Select[Member]:
    """Everybody who is or was a member of the organization."""
    return select(Member).where(Member.org_id == organization_id)
