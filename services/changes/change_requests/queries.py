"""The selects of the change log that deserve a name."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, select

from services.changes.change_requests.domain import ChangeState
from services.changes.change_requests.models import ChangeRequest
from services.changes.matters.queries import at_or_after, equal
from shared.contracts.governance import Severity


@dataclass(frozen=True, kw_only=True)
class ChangeFilter:
    """Which change requests to list; None does not restrict. `since` is the time of the last change."""

    charter_id: UUID | None = None
    state: ChangeState | None = None
    body: str | None = None
    severity: Severity | None = None
    since: datetime | None = None


def change_requests(wanted: ChangeFilter) -> Select[ChangeRequest]:
    return select(ChangeRequest).where(
        *equal(ChangeRequest.charter_id, wanted.charter_id),
        *equal(ChangeRequest.state, wanted.state),
        *equal(ChangeRequest.body, wanted.body),
        *equal(ChangeRequest.severity, wanted.severity),
        *at_or_after(ChangeRequest.updated_at, wanted.since),
    )
