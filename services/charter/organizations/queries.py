"""Selects of organizations."""

from sqlalchemy import select

from services.charter.organizations.models import Organization
from shared.data.listing import Listing


def organizations() -> Listing[Organization]:
    """Those the caller may see: its own and those it shares a charter with (row-level security)."""
    return Listing(select(Organization), Organization)
