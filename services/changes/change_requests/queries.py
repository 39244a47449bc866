"""The selects of the change log that deserve a name."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from services.changes.change_requests.domain import ChangeState
from services.changes.change_requests.models import ChangeRequest
from services.changes.matters.models import Matter
from shared.contracts.governance import Severity
from shared.data.listing import Listing, any_of


def change_requests(
    *,
    charter_id: Sequence[UUID] | None = None,
    state: Sequence[ChangeState] | None = None,
    body: Sequence[str] | None = None,
    severity: Sequence[Severity] | None = None,
) -> Listing[ChangeRequest]:
    """The log, each request joined with its matter. Each filter takes any of several values; none does not restrict."""
    wanted = (
        select(ChangeRequest)
        .outerjoin(ChangeRequest.matter)
        .where(
            *any_of(ChangeRequest.charter_id, charter_id),
            *any_of(ChangeRequest.state, state),
            *any_of(Matter.body, body),
            *any_of(ChangeRequest.severity, severity),
        )
    )
    return Listing(wanted, ChangeRequest)
