"""Reads again what services have published: their archives as of one moment, merged into one order."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Any, Final
from uuid import UUID

from shared.messaging.connection import LOST, Connection, connect

PREFETCH: Final = 100
"""Rows in memory per archive: an event may be 256 KiB large."""
ANSWER_SECONDS: Final = 600
# The reader waits for the consumer's handlers, so it is idle between fetches for as long as one of those may take.
_PATIENT: Final = {
    "statement_timeout": f"{ANSWER_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{ANSWER_SECONDS}s",
    "transaction_timeout": "0",
}
_WANTED: Final = 'FROM "{}".event WHERE event_type = ANY($1) AND ($2::uuid IS NULL OR charter_id = $2)'
# Positions are given out while the aggregate is locked, so their order is the order of its versions.
_EVENTS: Final = f"SELECT event_id, event_type, aggregate_id, aggregate_version, written_at, payload {_WANTED} ORDER BY position"
_COUNT: Final = f"SELECT event_type, count(*) AS events {_WANTED} GROUP BY event_type"
_AGGREGATES: Final = f"SELECT DISTINCT aggregate_id {_WANTED}"
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


class ArchiveUnreadable(Exception):
    """An archive cannot be read; the message says whose and why."""


@dataclass(frozen=True)
class Archive:
    """Where a service keeps what it has published. `url` names a role that may read there."""

    service: str
    url: str


@dataclass(frozen=True)
class Wanted:
    """Events of these types, of one charter if one is named."""

    types: Sequence[str]
    charter_id: UUID | None = None

    @property
    def parameters(self) -> tuple[list[str], UUID | None]:
        return list(self.types), self.charter_id


@dataclass(frozen=True)
class Archived:
    """One event as it was published; `payload` is its exact bytes."""

    service: str
    event_id: UUID
    event_type: str
    aggregate_id: UUID
    aggregate_version: int
    written_at: datetime
    payload: bytes


@dataclass(frozen=True)
class Snapshot:
    """The archives as they were when it was opened, by service."""

    connections: dict[str, Connection]

    async def count(self, wanted: Wanted) -> Counter[str]:
        """How many events there are, by type."""
        counts: Counter[str] = Counter()
        for service, connection in self.connections.items():
            query = _COUNT.format(service)
            rows = await connection.fetch(query, *wanted.parameters, timeout=ANSWER_SECONDS)
            counts.update({row["event_type"]: row["events"] for row in rows})
        return counts

    async def aggregates(self, wanted: Wanted) -> AsyncIterator[UUID]:
        """Whose events they are; an aggregate of two archives comes twice."""
        for service in self.connections:
            async for row in self._rows(_AGGREGATES, service, wanted):
                yield row["aggregate_id"]

    async def events(self, wanted: Wanted) -> AsyncIterator[Archived]:
        """All of them. Each archive in the order it was written, the archives merged by the moment of writing.

        What an event needs was written before it, in whichever archive, if the servers' clocks agree.
        """
        streams = [self._stream(service, wanted) for service in self.connections]
        async for event in in_order(streams):
            yield event

    async def _stream(self, service: str, wanted: Wanted) -> AsyncGenerator[Archived, None]:
        async for row in self._rows(_EVENTS, service, wanted):
            yield Archived(service, **row)

    def _rows(self, query: str, service: str, wanted: Wanted) -> Any:
        cursor = self.connections[service].cursor
        return cursor(query.format(service), *wanted.parameters, prefetch=PREFETCH, timeout=ANSWER_SECONDS)


async def in_order(streams: Sequence[AsyncIterator[Archived]]) -> AsyncIterator[Archived]:
    """Streams merged by the moment of writing; one stream keeps its own order, whatever its clock did meanwhile."""
    heads: list[tuple[datetime, int, Archived]] = []

    async def next_of(number: int, not_before: datetime) -> None:
        event = await anext(streams[number], None)
        if event is not None:
            heappush(heads, (max(event.written_at, not_before), number, event))

    for number in range(len(streams)):
        await next_of(number, _BEGINNING)
    while heads:
        at, number, event = heappop(heads)
        yield event
        await next_of(number, at)


@asynccontextmanager
async def snapshot(archives: Sequence[Archive]) -> AsyncIterator[Snapshot]:
    """The archives as they are now; those in one database as of the same moment. Raises `ArchiveUnreadable`."""
    async with AsyncExitStack() as stack:
        by_url: dict[str, Connection] = {}
        for archive in archives:
            try:
                if archive.url not in by_url:
                    by_url[archive.url] = await stack.enter_async_context(_reading(archive.url))
                await by_url[archive.url].execute(f'SELECT FROM "{archive.service}".event LIMIT 1')
            except (*LOST, ValueError) as error:
                raise ArchiveUnreadable(
                    f"the archive of {archive.service} cannot be read: {error or type(error).__name__}"
                ) from error
        yield Snapshot({archive.service: by_url[archive.url] for archive in archives})


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[Connection]:
    connection = await connect(url, "replay", **_PATIENT)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
    finally:
        await connection.close(timeout=5)
