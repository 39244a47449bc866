"""Changes that are on record but are no event: nobody else acts on them."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import write_audit
from shared.authz import Actor
from shared.db import Versioned


async def note(
    session: AsyncSession,
    *,
    by: Actor,
    action: str,
    kind: str,
    row: Versioned,
    now: datetime,
    detail: Mapping[str, object],
) -> None:
    """Bump the row's version, flush it and write the audit row; like `record`, without publishing."""
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
        detail=detail,
    )
