"""Selects of organizations."""

from sqlalchemy import Select, select

from services.charter.organizations.models import Organization


def organizations() -> Select[Organization]:
    """Those the caller may see: its own and those it shares a charter with (row-level security)."""
    return select(Organization)
