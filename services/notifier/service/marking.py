"""A change that concerns nobody outside: a new version and an audit row, but no event."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import write_audit
from shared.authz import Actor
from shared.db import Versioned


async def mark(
    session: AsyncSession,
    *,
    by: Actor,
    action: str,
    row: Versioned,
    kind: str,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Bump the row's version, flush, and write the audit row in this transaction. Put no secret in `detail`."""
    row.version += 1
    if row.version == 1:
        row.created_at = now
    row.updated_at = now
    await session.flush()
    await write_audit(
        session,
        by=by,
        action=action,
        object_type=kind,
        object_id=row.id,
        object_version=row.version,
        scope=row.scope,
        now=now,
        detail=detail or {},
    )
