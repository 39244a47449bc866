"""What every state change leaves behind: a new version, an audit row and an outbox row, all or none."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import write_audit
from shared.authz import Actor, Principal
from shared.contracts.base import Event
from shared.db import Versioned
from shared.messaging.outbox import emit
from shared.telemetry import current_traceparent


async def record(
    session: AsyncSession,
    *,
    by: Actor,
    action: str,
    row: Versioned,
    event: Event,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Bump the row's version, flush it, then write audit and event in this transaction.

    The flush comes first: the outbox position must be taken after the row's lock
    (otherwise two writers of one aggregate could publish in the wrong order).
    """
    row.version += 1
    if row.version == 1:
        row.created_at = now
    row.updated_at = now
    await session.flush()
    scope = row.scope
    await write_audit(
        session,
        by=by,
        action=action,
        object_type=event.AGGREGATE,
        object_id=row.id,
        object_version=row.version,
        scope=scope,
        now=now,
        detail=detail or {},
    )
    member = by if isinstance(by, Principal) else None
    await emit(
        session,
        event,
        aggregate_id=row.id,
        version=row.version,
        scope=scope,
        source=f"/services/{event.TOPIC.removeprefix('concordat.')}",
        now=now,
        actor_id=str(member.member_id) if member else "system",
        actor_role=",".join(sorted(member.roles)) if member else "system",
        traceparent=current_traceparent(),
    )
