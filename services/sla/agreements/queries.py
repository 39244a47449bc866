"""Selects of agreements worth a name. Row-level security already hides what the caller may not see."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from services.sla.agreements.domain import AgreementKind
from services.sla.agreements.models import Agreement
from shared.data.listing import Listing, any_of


def agreements(
    *, kind: Sequence[AgreementKind] | None = None, charter_id: Sequence[UUID] | None = None
) -> Listing[Agreement]:
    """The register. Each filter takes any of several values."""
    wanted = select(Agreement).where(*any_of(Agreement.kind, kind), *any_of(Agreement.charter_id, charter_id))
    return Listing(wanted, Agreement)
