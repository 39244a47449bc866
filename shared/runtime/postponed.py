"""What is due, for operators: where it belongs and why it was postponed, never what it says."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

_LIST: Final = text(
    """
    SELECT id, kind, subject_type, subject_id, due_at, wakes_at, attempts, last_error FROM due
     WHERE (attempts > 0) = :postponed
       AND (CAST(:kind AS text) IS NULL OR kind = :kind)
       AND (CAST(:after AS uuid) IS NULL OR id > :after)
     ORDER BY id LIMIT :limit
    """
)
_RETRY: Final = text(
    """
    UPDATE due SET wakes_at = :now
     WHERE attempts > 0 AND (id = ANY(CAST(:ids AS uuid[])) OR kind = :kind) RETURNING id
    """
)


async def list_due(
    session: AsyncSession,
    *,
    postponed: bool = True,
    kind: str | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> Sequence[Row[Any]]:
    """Rows that failed, or those that only wait for their moment; `after` is the last id of the page before."""
    criteria = {"postponed": postponed, "kind": kind, "after": after, "limit": limit}
    return (await session.execute(_LIST, criteria)).all()


async def retry_due(
    session: AsyncSession, now: datetime, *, ids: Collection[UUID] = (), kind: str | None = None
) -> list[UUID]:
    """Let postponed rows be tried at once: some by id, or all of a kind. Returns those that were postponed."""
    retried = await session.scalars(_RETRY, {"now": now, "ids": list(ids), "kind": kind})
    return sorted(retried)
