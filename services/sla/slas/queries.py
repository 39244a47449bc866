"""Selects of SLAs worth a name. Row-level security already hides what the caller may not see."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from services.sla.slas.models import Sla
from shared.data.listing import Listing, any_of


def slas(
    *, agreement_id: Sequence[UUID] | None = None, charter_id: Sequence[UUID] | None = None
) -> Listing[Sla]:
    """The register. Each filter takes any of several values."""
    wanted = select(Sla).where(*any_of(Sla.agreement_id, agreement_id), *any_of(Sla.charter_id, charter_id))
    return Listing(wanted, Sla)
