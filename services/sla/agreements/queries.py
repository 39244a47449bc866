"""Selects of agreements worth a name. Row-level security already hides what the caller may not see."""

from uuid import UUID

from sqlalchemy import Select, select

from services.sla.agreements.domain import AgreementKind
from services.sla.agreements.models import Agreement
from shared.data.session import given


def agreements(kind: AgreementKind | None, charter_id: UUID | None) -> Select[Agreement]:
    return select(Agreement).where(
        *given(Agreement.kind, kind),
        *given(Agreement.charter_id, charter_id),
    )
