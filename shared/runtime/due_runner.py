"""The runner of what is due: each row in a transaction of its own, in turns by organization."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Row, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import rfc3339
from shared.data.session import Database
from shared.messaging.inbox import storable
from shared.runtime.clock import Clock
from shared.runtime.due import Kind, Step, as_document
from shared.runtime.telemetry import DUE_FAILURES, DUE_HANDLED, DUE_LATE, DUE_POSTPONED

log = structlog.get_logger()

EVERY: Final = timedelta(seconds=1)
BATCH: Final = 50
BATCHES: Final = 100
LONGEST_SECONDS: Final = 60
"""How long one row may take: a handler that hangs must not stop the others."""
DISTANCES: Final = tuple(timedelta(seconds=s) for s in (10, 60, 300, 900, 3600))
"""How long a row waits after its first failure, its second...; after the last, each time."""

# In turns: what one organization has in plenty does not push back what another has.
_READY: Final = text(
    """
    SELECT id, kind, subject_id, due_at, steps, wakes_at, attempts
      FROM (SELECT *, row_number() OVER (PARTITION BY customer_org_id ORDER BY wakes_at, id) AS turn
              FROM due WHERE wakes_at <= :now AND kind = ANY(:kinds)) AS ready
     ORDER BY turn, wakes_at, id LIMIT :batch
    """
).columns(steps=JSONB)
# Only as it was when we looked: who settled or moved it meanwhile has won.
_TAKE_LAST: Final = text("DELETE FROM due WHERE id = :id AND wakes_at = :seen RETURNING id")
_TAKE_NEXT: Final = text(
    """
    UPDATE due SET steps = CAST(:steps AS jsonb), wakes_at = :wakes_at, attempts = 0, last_error = NULL
     WHERE id = :id AND wakes_at = :seen RETURNING id
    """
)
_POSTPONE: Final = text(
    """
    UPDATE due SET attempts = attempts + 1, last_error = :error, wakes_at = :again
     WHERE id = :id AND wakes_at = :seen
    """
)
_NEXT: Final = text("SELECT min(wakes_at) FROM due WHERE attempts = 0 AND kind = ANY(:kinds)")
_WAITING: Final = text(
    """
    SELECT count(*) FILTER (WHERE attempts > 0) AS postponed,
           coalesce(extract(epoch FROM :now - min(wakes_at) FILTER (WHERE attempts = 0 AND wakes_at <= :now)), 0)::float8
             AS late
      FROM due WHERE wakes_at <= :now OR attempts > 0
    """
)


@dataclass(frozen=True)
class Handled:
    """One row that was due; `succeeded` is False when it failed and was postponed."""

    kind: str
    subject_id: UUID
    succeeded: bool


class _Outcome(Enum):
    """What became of a row: `failed` ones are postponed, `left` ones were locked, moved or settled by others."""

    handled = auto()
    failed = auto()
    left = auto()


class DueRunner:
    """Handles what is due, each row in a transaction of its own. Any number of processes may run it.

    A row that fails is rolled back alone, postponed by a growing distance, counted, and shown to operators; the
    others go on.
    """

    def __init__(self, service: str, database: Database, kinds: Sequence[Kind[Any]], clock: Clock) -> None:
        self._service = service
        self._database = database
        self._kinds = {kind.name: kind for kind in kinds}
        self._clock = clock
        self._alone = asyncio.Lock()

    async def run_once(self) -> int:
        """Handle what is due now; how many rows were handled. Waits while `one_by_one` is under way."""
        handled = 0
        for _ in range(BATCHES):
            async with self._alone:
                outcomes = [await self._try(row) for row in await self._ready(BATCH)]
            handled += outcomes.count(_Outcome.handled)
            if set(outcomes) <= {_Outcome.left}:
                break
        return handled

    @asynccontextmanager
    async def one_by_one(self) -> AsyncIterator[Callable[[], Awaitable[Handled | None]]]:
        """Nothing is handled meanwhile but by calling what this yields: the one row that is due first, if any."""

        async def handle_first() -> Handled | None:
            for row in await self._ready(1):
                outcome = await self._try(row)
                if outcome is not _Outcome.left:
                    return Handled(row.kind, row.subject_id, outcome is _Outcome.handled)
            return None

        async with self._alone:
            yield handle_first

    async def next_wake(self) -> datetime | None:
        """When the next row that has not failed wakes."""
        async with self._database.system() as session:
            moment: datetime | None = await session.scalar(_NEXT, {"kinds": list(self._kinds)})
            return moment

    async def measure(self, session: AsyncSession, now: datetime) -> int:
        """Set the gauges; handles no rows."""
        waiting = (await session.execute(_WAITING, {"now": now})).one()
        DUE_POSTPONED.labels(self._service).set(waiting.postponed)
        DUE_LATE.labels(self._service).set(waiting.late)
        return 0

    async def _ready(self, most: int) -> Sequence[Row[Any]]:
        async with self._database.system() as session:
            wanted = {"now": self._clock(), "kinds": list(self._kinds), "batch": most}
            return (await session.execute(_READY, wanted)).all()

    async def _try(self, row: Row[Any]) -> _Outcome:
        try:
            async with asyncio.timeout(LONGEST_SECONDS), self._database.system() as session:
                handled = await self._handle(session, row)
        except Exception as error:
            await self._postpone(row, error)
            return _Outcome.failed
        if not handled:
            return _Outcome.left
        DUE_HANDLED.labels(self._service, row.kind).inc()
        return _Outcome.handled

    async def _handle(self, session: AsyncSession, row: Row[Any]) -> bool:
        kind, now = self._kinds[row.kind], self._clock()
        subject = await session.scalar(
            select(kind.subject).where(kind.subject.id == row.subject_id).with_for_update(skip_locked=True)
        )
        if subject is None:
            return await self._drop_orphan(session, kind, row)
        steps = _read(row)
        reached = [step for step in steps if step.at <= now]
        if not await _take(session, row, steps[len(reached) :]):
            return False
        await kind.handle(session, subject, reached[-1], now)
        return True

    async def _drop_orphan(self, session: AsyncSession, kind: Kind[Any], row: Row[Any]) -> bool:
        """A subject that is only locked comes again; one that is gone takes what waited for it along."""
        if await session.scalar(select(kind.subject.id).where(kind.subject.id == row.subject_id)):
            return False
        log.warning("due_subject_gone", kind=row.kind, subject_id=str(row.subject_id))
        return await _take(session, row, ())

    async def _postpone(self, row: Row[Any], error: Exception) -> None:
        DUE_FAILURES.labels(self._service, row.kind).inc()
        again = self._clock() + DISTANCES[min(row.attempts, len(DISTANCES) - 1)]
        log.error(
            "due_failed", kind=row.kind, subject_id=str(row.subject_id), again=rfc3339(again), exc_info=error
        )
        values = {"id": row.id, "seen": row.wakes_at, "again": again, "error": _reason(error)}
        async with self._database.system() as session:
            await session.execute(_POSTPONE, values)


def _reason(error: Exception) -> str:
    return storable(f"{type(error).__name__}: {error}")[:2000]


async def _take(session: AsyncSession, row: Row[Any], rest: Sequence[Step]) -> bool:
    """Leave the steps that are still to come; False when somebody changed the row since we read it."""
    seen: dict[str, object] = {"id": row.id, "seen": row.wakes_at}
    if rest:
        left = {"steps": orjson.dumps(as_document(rest)).decode(), "wakes_at": rest[0].at}
        return await session.scalar(_TAKE_NEXT, seen | left) is not None
    return await session.scalar(_TAKE_LAST, seen) is not None


def _read(row: Row[Any]) -> list[Step]:
    return [Step(step["name"], datetime.fromisoformat(step["at"]), row.due_at) for step in row.steps]
