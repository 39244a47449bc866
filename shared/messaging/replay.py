"""Fills a consumer's projections anew from the archives: for a new consumer, a handler added later, a broken table.

One transaction from the shut gate to the last event: who reads meanwhile sees the former rows, the consumer's live events
wait, and a replay that dies halfway has never been.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging.archives import Archive, Archived, Snapshot, Wanted, snapshot
from shared.messaging.failures import Failure, classify
from shared.messaging.inbox import Inbox
from shared.messaging.projections import Projection
from shared.runtime import failpoints

TIME_LIMITS: Final[Mapping[str, str]] = {
    "statement_timeout": "0",
    # Longer than a message may be in hand, which the gate waits for.
    "lock_timeout": "90s",
    # A replay whose process froze, or whose machine is gone, must not hold live events back for ever.
    "idle_in_transaction_session_timeout": "10min",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
"""Of the connection a replay works on."""

Progress = Callable[[int, int], None]
"""Called with how many events have been read, of how many."""

_CHUNK: Final = 1000
_LOCK_NOT_AVAILABLE: Final = "55P03"
_OF_A_CHARTER: Final = text(
    """
    SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'charter_id'
     WHERE relnamespace = to_regnamespace(current_schema())
    """
)
_LETTERS: Final = text(
    """
    SELECT event_id, aggregate_id, aggregate_version, state FROM dead_letter
     WHERE consumer = :consumer AND state <> 'replayed' AND event_id IS NOT NULL
    """
)
_FORGET: Final = text(
    """
    DELETE FROM consumed_version
     WHERE consumer = :consumer AND projection = ANY(CAST(:projections AS text[]))
       AND (CAST(:aggregates AS uuid[]) IS NULL OR aggregate_id = ANY(CAST(:aggregates AS uuid[])))
    """
)
# Counts of this transaction, and of earlier ones on the connection that the server has not gathered yet.
_WRITTEN: Final = text(
    "SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS writes FROM pg_stat_xact_user_tables"
)


class NotReplayable(Exception):
    """What was asked for cannot be replayed; the message says why, and what can."""


class ReplayFailed(Exception):
    """The replay could not be finished, and nothing was changed; the message says why."""


@dataclass(frozen=True)
class Plan:
    """Which projections are filled anew, and why others that were asked for are not (`left_alone`, by name)."""

    projections: tuple[Projection, ...]
    left_alone: Mapping[str, str]
    charter_id: UUID | None = None

    @cached_property
    def learners(self) -> dict[str, list[str]]:
        """The projections that learn from each type."""
        types = sorted({type_ for projection in self.projections for type_ in projection.types})
        return {type_: [p.name for p in self.projections if type_ in p.types] for type_ in types}

    @property
    def tables(self) -> list[str]:
        return [table for projection in self.projections for table in projection.tables]

    @property
    def wanted(self) -> Wanted:
        return Wanted(list(self.learners), self.charter_id)


@dataclass(frozen=True)
class Survey:
    """What a replay would remove, in rows by table, and would read, in events by type."""

    rows: Mapping[str, int]
    events: Mapping[str, int]


@dataclass(frozen=True)
class Report:
    """What a replay did: rows by table before and after, events applied by type, events left out as set aside."""

    removed: Mapping[str, int]
    rows: Mapping[str, int]
    applied: Mapping[str, int]
    set_aside: int


@dataclass(frozen=True)
class _Letters:
    """What the consumer has set aside: given up for good, or waiting with all that follows in its aggregate."""

    discarded: frozenset[UUID]
    waiting: Mapping[UUID, int]

    def keep_back(self, event: Archived) -> bool:
        """Whether the event is for `dead-letters replay` to apply, or for nobody."""
        first = self.waiting.get(event.aggregate_id)
        return event.event_id in self.discarded or (first is not None and event.aggregate_version >= first)


async def plan_replay(
    session: AsyncSession, inbox: Inbox, types: Collection[str] = (), charter_id: UUID | None = None
) -> Plan:
    """All that can be replayed, or what of it learns from `types`, narrowed to one charter if one is named.

    Raises `NotReplayable` for types nobody here learns from, and when nothing is left to replay.
    """
    asked = _asked(inbox, types)
    narrow = None if charter_id is None else set((await session.execute(_OF_A_CHARTER)).scalars())
    obstacles = {projection.name: _obstacle(projection, narrow) for projection in asked}
    left_alone = {name: why for name, why in obstacles.items() if why}
    chosen = tuple(projection for projection in asked if projection.name not in left_alone)
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_alone.items())
        raise NotReplayable(f"Nothing of {inbox.consumer} can be replayed so. {reasons}.")
    return Plan(chosen, left_alone, charter_id)


def _asked(inbox: Inbox, types: Collection[str]) -> list[Projection]:
    projections = list(inbox.projections.values())
    known = sorted({type_ for projection in projections for type_ in projection.types})
    if unknown := sorted(set(types) - set(known)):
        listed = "\n  ".join(known)
        raise NotReplayable(
            f"{inbox.consumer} learns nothing from {', '.join(unknown)}. It knows\n  {listed}"
        )
    return [p for p in projections if not types or p.types & set(types)]


def _obstacle(projection: Projection, narrow: Collection[str] | None) -> str:
    """Why the projection cannot be replayed, or an empty text. `narrow` are the tables that know charters."""
    if not projection.tables:
        return "it acts on events (alerts, answers), and would act a second time"
    if narrow is None or set(projection.tables) <= set(narrow):
        return ""
    whole = ", ".join(table for table in projection.tables if table not in narrow)
    return f"rows of {whole} belong to no charter, so it can only be replayed whole"


async def survey(session: AsyncSession, plan: Plan, archives: Sequence[Archive]) -> Survey:
    """What `replay` would do, if nothing happened meanwhile."""
    async with snapshot(archives) as archived:
        return Survey(await _count(session, plan), await archived.count(plan.wanted))


async def replay(
    session: AsyncSession, inbox: Inbox, plan: Plan, archives: Sequence[Archive], progress: Progress
) -> Report:
    """Empty what the plan names and fill it from the archives; it holds once the session's transaction commits.

    What the consumer has set aside stays so. Raises `ReplayFailed` and `ArchiveUnreadable`; then roll back.
    """
    await _shut_gate(session, inbox)
    letters = await _letters(session, inbox)
    former = await _writes(session)
    # Not before the gate is shut: what was handled live until then has to be in the archives as we see them.
    async with snapshot(archives) as archived:
        removed = await _empty(session, inbox, plan, archived)
        applied, set_aside = await _fill(session, inbox, plan, letters, archived, progress)
    _refuse_other_writes(plan, await _writes(session) - former)
    return Report(removed, await _count(session, plan), applied, set_aside)


async def _shut_gate(session: AsyncSession, inbox: Inbox) -> None:
    try:
        await inbox.shut_gate(session)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
            raise
        busy = "another replay of it runs, or it has had a message in hand for very long"
        raise ReplayFailed(f"{inbox.consumer} did not pause: {busy}. Try again later.") from error


async def _letters(session: AsyncSession, inbox: Inbox) -> _Letters:
    rows = list(await session.execute(_LETTERS, {"consumer": inbox.consumer}))
    waiting: dict[UUID, int] = {}
    for row in rows:
        if row.state == "new":
            first = waiting.get(row.aggregate_id, row.aggregate_version)
            waiting[row.aggregate_id] = min(first, row.aggregate_version)
    return _Letters(frozenset(row.event_id for row in rows if row.state == "discarded"), waiting)


async def _empty(session: AsyncSession, inbox: Inbox, plan: Plan, archived: Snapshot) -> Counter[str]:
    """Remove the rows and what the guards say of them; returns how many rows there were, by table."""
    removed = await _count(session, plan)
    for table in reversed(plan.tables):
        await session.execute(_of(plan, f"DELETE FROM {table}"))
    forget = {"consumer": inbox.consumer, "projections": [p.name for p in plan.projections]}
    if plan.charter_id is None:
        await session.execute(_FORGET, forget | {"aggregates": None})
        return removed
    chunk: list[UUID] = []
    async for aggregate_id in archived.aggregates(plan.wanted):
        chunk.append(aggregate_id)
        if len(chunk) == _CHUNK:
            await session.execute(_FORGET, forget | {"aggregates": chunk})
            chunk.clear()
    await session.execute(_FORGET, forget | {"aggregates": chunk})
    return removed


async def _fill(
    session: AsyncSession,
    inbox: Inbox,
    plan: Plan,
    letters: _Letters,
    archived: Snapshot,
    progress: Progress,
) -> tuple[Counter[str], int]:
    """Apply the archived events in order; returns how many of each type were, and how many stay set aside."""
    total = (await archived.count(plan.wanted)).total()
    applied: Counter[str] = Counter()
    kept_back = 0
    async for event in archived.events(plan.wanted):
        if letters.keep_back(event):
            kept_back += 1
        else:
            await _learn(session, inbox, plan, event)
            applied[event.event_type] += 1
        failpoints.hit("replay_after_event")
        progress(applied.total() + kept_back, total)
    return applied, kept_back


async def _learn(session: AsyncSession, inbox: Inbox, plan: Plan, event: Archived) -> None:
    try:
        await inbox.fill(session, plan.learners[event.event_type], event.payload)
    except Exception as error:
        if classify(error) is Failure.INFRASTRUCTURE:
            raise
        which = f"{event.event_type} {event.event_id} of {event.service}"
        where = f"version {event.aggregate_version} of {event.aggregate_id}"
        raise ReplayFailed(f"{which} ({where}) cannot be applied: {type(error).__name__}: {error}") from error


async def _count(session: AsyncSession, plan: Plan) -> Counter[str]:
    counts: Counter[str] = Counter()
    for table in plan.tables:
        counts[table] = await session.scalar(_of(plan, f"SELECT count(*) FROM {table}")) or 0
    return counts


def _of(plan: Plan, statement: str) -> TextClause:
    """The statement about a table, narrowed as the plan is."""
    if plan.charter_id is None:
        return text(statement)
    return text(f"{statement} WHERE charter_id = :charter").bindparams(charter=plan.charter_id)


async def _writes(session: AsyncSession) -> Counter[str]:
    return Counter({row.relname: row.writes for row in await session.execute(_WRITTEN)})


def _refuse_other_writes(plan: Plan, writes: Counter[str]) -> None:
    """A handler that wrote elsewhere did something that was done when the event came first."""
    others = sorted(table for table in writes if table not in (*plan.tables, "consumed_version"))
    if others:
        names = ", ".join(projection.name for projection in plan.projections)
        raise ReplayFailed(
            f"Handlers of {names} also write to {', '.join(others)}, which their projections do not name: "
            "what they did there would be done twice."
        )
