"""Selects of members."""

from uuid import UUID

from sqlalchemy import select

from services.charter.members.models import Member
from shared.data.listing import Listing


def members_of(organization_id: UUID) -> Listing[Member]:
    """Everybody who is or was a member of the organization."""
    return Listing(select(Member).where(Member.org_id == organization_id), Member)
