"""Selects of alerts that are worth a name."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.domain import AlertState, Priority
from services.notifier.alerts.models import UNRESOLVED, Alert
from shared.data.history import timeline
from shared.data.listing import Listing, any_of
from shared.data.session import load


def alerts(
    *,
    state: Sequence[AlertState] | None = None,
    priority: Sequence[Priority] | None = None,
    rule: Sequence[str] | None = None,
    charter_id: Sequence[UUID] | None = None,
    roles: Collection[str] | None = None,
) -> Listing[Alert]:
    """Alerts; each filter takes any of several values. `roles` keeps those addressed to one of them."""
    wanted = select(Alert).where(
        *any_of(Alert.state, state),
        *any_of(Alert.priority, priority),
        *any_of(Alert.rule, rule),
        *any_of(Alert.charter_id, charter_id),
        *([] if roles is None else [Alert.roles.overlap(list(roles))]),
    )
    return Listing(wanted, Alert)


async def alert_with_history(session: AsyncSession, alert_id: UUID) -> Alert:
    alert = await load(session, Alert, alert_id)
    alert.timeline = await timeline(session, alert_id)
    return alert


async def unresolved(
    session: AsyncSession, dedup_keys: Sequence[str], org_ids: Collection[UUID]
) -> Sequence[Alert]:
    """The unresolved alerts of these organizations with these keys, locked in one order."""
    result = await session.scalars(
        select(Alert)
        .where(
            Alert.dedup_key.in_(dedup_keys),
            Alert.org_id.in_(org_ids),
            UNRESOLVED,  # word for word, or a plan for any state could not use the index of the unresolved
        )
        .order_by(Alert.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return result.all()
