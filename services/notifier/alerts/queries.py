"""Selects of alerts that are worth a name."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.domain import AlertState, Priority
from services.notifier.alerts.models import UNRESOLVED, Alert
from shared.data.history import timeline
from shared.data.session import load


def alerts(
    *,
    state: AlertState | None = None,
    priority: Priority | None = None,
    rule: str | None = None,
    charter_id: UUID | None = None,
    roles: Collection[str] | None = None,
) -> Select[Alert]:
    """Alerts by filter; `roles` keeps those addressed to one of them."""
    wanted: list[ColumnElement[bool]] = []
    if state is not None:
        wanted.append(Alert.state == state)
    if priority is not None:
        wanted.append(Alert.priority == priority)
    if rule is not None:
        wanted.append(Alert.rule == rule)
    if charter_id is not None:
        wanted.append(Alert.charter_id == charter_id)
    if roles is not None:
        wanted.append(Alert.roles.overlap(list(roles)))
    return select(Alert).where(*wanted)


async def alert_with_history(session: AsyncSession, alert_id: UUID) -> Alert:
    alert = await load(session, Alert, alert_id)
    alert.timeline = await timeline(session, alert_id)
    return alert


async def unresolved(
    session: AsyncSession, dedup_keys: Sequence[str], org_ids: Collection[UUID]
) -> Sequence[Alert]:
    """The unresolved alerts of these organizations with these keys, locked in one order."""
    found = await session.scalars(
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
    return found.all()
