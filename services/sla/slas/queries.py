"""Selects of SLAs worth a name. Row-level security already hides what the caller may not see."""

from uuid import UUID

from sqlalchemy import Select, select

from services.sla.slas.models import Sla
from shared.data.session import given


def slas(agreement_id: UUID | None, charter_id: UUID | None) -> Select[Sla]:
    return select(Sla).where(*given(Sla.agreement_id, agreement_id), *given(Sla.charter_id, charter_id))
