"""The bus without a broker: a durable, ordered log in PostgreSQL with the same contract as Kafka.

Publishers lock the row of `bus_head`, so numbers become visible in their order and `seq > cursor` is safe.
"""

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from shared.contracts.base import SHARDS
from shared.data.ids import uuid7
from shared.data.tables.messaging import BUS
from shared.messaging.bus import Delivered, Handle, Outgoing, RetryLater
from shared.messaging.connection import LOST, Connection, connect
from shared.messaging.pacing import backoff, wait

log = logging.getLogger(__name__)

BATCH: Final = 100
LONGEST_TURN: Final = 2.0
FULL_LOOK: Final = 1.0

# One statement, so that the head is locked no longer than it takes. What another publisher commits while this one
# waits for the head is unseen here: then the unique event id says no, and the relay tries again.
APPEND: Final = """
    WITH given AS (
      SELECT * FROM unnest($1::text[], $2::bytea[], $3::smallint[], $4::uuid[], $5::bytea[], $6::jsonb[])
                    WITH ORDINALITY AS g(topic, key, shard, event_id, value, headers, n)),
    fresh AS (
      SELECT given.*, row_number() OVER (ORDER BY n) AS nth FROM given
      WHERE NOT EXISTS (SELECT FROM bus.bus_event e WHERE e.event_id = given.event_id)),
    head AS (
      UPDATE bus.bus_head SET last_seq = last_seq + (SELECT count(*) FROM fresh)
      RETURNING last_seq - (SELECT count(*) FROM fresh) AS before),
    appended AS (
      INSERT INTO bus.bus_event (seq, topic, key, shard, event_id, value, headers)
      SELECT before + nth, topic, key, shard, event_id, value, headers FROM fresh, head
      RETURNING topic, shard, seq)
    INSERT INTO bus.bus_partition (topic, shard, last_seq)
    SELECT topic, shard, max(seq) FROM appended GROUP BY topic, shard
    ON CONFLICT (topic, shard) DO UPDATE SET last_seq = excluded.last_seq
"""
JOIN: Final = """
    INSERT INTO bus.bus_group (grp, topic, shard)
    SELECT $1, topic, shard FROM unnest($2::text[]) AS topic, generate_series(0, $3 - 1) AS shard
    ON CONFLICT DO NOTHING
"""
# Members of a group share its partitions by skipping those another member has locked. It never looks at the log itself:
# that one is long, and most partitions have nothing new in it.
PICK: Final = """
    SELECT topic, shard, g.seq FROM bus.bus_group g JOIN bus.bus_partition l USING (topic, shard)
    WHERE g.grp = $1 AND topic = ANY($2) AND g.seq < l.last_seq AND topic || '/' || shard <> ALL($3)
    ORDER BY random() LIMIT 1 FOR UPDATE OF g SKIP LOCKED
"""
# The end of what a consumer may read: what others publish meanwhile is no reason to look for work.
NEWEST: Final = "SELECT max(last_seq) FROM bus.bus_partition WHERE topic = ANY($1)"
NEXT: Final = """
    SELECT seq, topic, shard, key, value, headers FROM bus.bus_event
    WHERE topic = $1 AND shard = $2 AND seq > $3 ORDER BY seq LIMIT $4
"""
MOVE: Final = "UPDATE bus.bus_group SET seq = $4 WHERE grp = $1 AND topic = $2 AND shard = $3"
WAITING: Final = """
    SELECT g.topic, count(e.seq) AS events FROM bus.bus_group g
    LEFT JOIN bus.bus_event e ON e.topic = g.topic AND e.shard = g.shard AND e.seq > g.seq
    WHERE g.grp = $1 AND g.topic = ANY($2) GROUP BY g.topic
"""
AT_REST: Final = """
    SELECT (SELECT last_seq FROM bus.bus_head) AS head,
           EXISTS (SELECT FROM bus.bus_group g JOIN bus.bus_partition l USING (topic, shard) WHERE g.seq < l.last_seq) AS unread
"""
REWIND: Final = (
    "UPDATE bus.bus_group SET seq = $4 WHERE grp = $1 AND topic = $2 AND ($3::int IS NULL OR shard = $3)"
)
# One window of the log at a time, oldest first: after a long lag there are millions to delete, and no statement may
# take that long. What a group has still to read stays, and is stepped over.
PRUNE: Final = """
    WITH looked AS (
      SELECT seq, topic, shard, at < clock_timestamp() - $1::interval AS old FROM bus.bus_event
       WHERE seq > $2 ORDER BY seq LIMIT $3),
    gone AS (
      DELETE FROM bus.bus_event e USING looked WHERE e.seq = looked.seq AND looked.old AND NOT EXISTS (
        SELECT FROM bus.bus_group g WHERE g.topic = e.topic AND g.shard = e.shard AND g.seq < e.seq)
      RETURNING 1)
    SELECT max(seq) AS last, (SELECT count(*) FROM gone) AS gone, count(*) = $3 AND bool_and(old) AS more FROM looked
"""
PRUNE_BATCH: Final = 5000


class PgLogBus:
    """All publishers and consumers of one log; those in the same process wake each other up."""

    def __init__(self, url: str, *, poll: float = 0.1, workers: int = 2) -> None:
        """`poll` in seconds; `workers` is how many partitions one consumer works on at a time."""
        self.url, self.poll, self.workers = url, poll, workers
        self._sleepers: dict[asyncio.Event, frozenset[str]] = {}

    async def install(self) -> None:
        """Create the log's schema where it is missing; harmless when repeated."""
        connection = await self.connect("install")
        try:
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext('concordat.bus'))")
                for statement in BUS:
                    await connection.execute(statement)
        finally:
            await connection.close(timeout=5)

    async def producer(self) -> "PgLogProducer":
        # While a paused publisher holds the head of the log nobody can publish, so no more patience than usual.
        return PgLogProducer(self, await connect(self.url, "bus-producer"))

    def consumer(self, group: str, topics: Collection[str], handle: Handle) -> "PgLogConsumer":
        return PgLogConsumer(self, group, sorted(topics), handle)

    async def rewind(self, group: str, topic: str, offsets: Mapping[int, int] | None = None) -> None:
        places = [(shard, offset - 1) for shard, offset in offsets.items()] if offsets else [(None, 0)]
        connection = await self.connect("rewind")
        try:
            async with connection.transaction():
                for shard, seq in places:
                    await connection.execute(REWIND, group, topic, shard, seq)
        finally:
            await connection.close(timeout=5)

    async def missing_topics(self, topics: Collection[str]) -> set[str]:
        return set()

    async def progress(self, connection: Connection) -> tuple[int, bool]:
        """How many messages there were so far, and whether some group has not handled all of them."""
        row = await connection.fetchrow(AT_REST)
        return row["head"], row["unread"]

    async def prune(self, older_than: timedelta = timedelta(days=14), batch: int = PRUNE_BATCH) -> int:
        """Delete old messages that every known group has read, in transactions of at most `batch`; how many."""
        connection = await self.connect("prune")
        deleted, last, more = 0, 0, True
        try:
            while more:
                window = await connection.fetchrow(PRUNE, older_than, last, batch)
                deleted, last, more = deleted + window["gone"], window["last"], window["more"]
        finally:
            await connection.close(timeout=5)
        return deleted

    async def connect(self, role: str) -> Connection:
        # A handler works while its partition is locked, so the server must be more patient than the handler's limit.
        return await connect(
            self.url,
            f"bus-{role}",
            idle_in_transaction_session_timeout="120s",
            transaction_timeout="180s",
        )

    @contextlib.contextmanager
    def sleeper(self, topics: Collection[str]) -> Iterator[asyncio.Event]:
        """An event that is set whenever this process publishes to one of the topics."""
        event = asyncio.Event()
        self._sleepers[event] = frozenset(topics)
        try:
            yield event
        finally:
            del self._sleepers[event]

    def wake(self, topics: Collection[str]) -> None:
        for event, wanted in self._sleepers.items():
            if not wanted.isdisjoint(topics):
                event.set()


class PgLogProducer:
    """Appends batches under the log's one lock."""

    def __init__(self, bus: PgLogBus, connection: Connection) -> None:
        self._bus, self._connection = bus, connection

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        events = {_event_id(message): message for message in batch}
        rows = [_row(event_id, message) for event_id, message in events.items()]
        if rows:
            await self._connection.execute(APPEND, *map(list, zip(*rows, strict=True)))
            self._bus.wake({message.topic for message in batch})

    async def close(self) -> None:
        await self._connection.close(timeout=5)


class PgLogConsumer:
    """One member of a group, with a few workers that each work on one partition at a time."""

    def __init__(self, bus: PgLogBus, group: str, topics: list[str], handle: Handle) -> None:
        self._bus, self._group, self._topics, self._handle = bus, group, topics, handle
        self._stopping = False
        self._held: dict[str, float] = {}
        self._connected = 0
        self._finished = asyncio.Event()
        self._finished.set()

    @property
    def healthy(self) -> bool:
        return self._connected > 0

    async def run(self) -> None:
        self._finished.clear()
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._bus.workers):
                    workers.create_task(self._worker())
        finally:
            self._finished.set()

    async def stop(self) -> None:
        self._stopping = True
        self._bus.wake(self._topics)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                await self._finished.wait()

    async def waiting(self) -> dict[tuple[str, str], int]:
        connection = await self._bus.connect(f"lag-{self._group}")
        try:
            rows = await connection.fetch(WAITING, self._group, self._topics)
        finally:
            await _close(connection)
        return {(row["topic"], "all"): row["events"] for row in rows}

    async def _worker(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                connection = await self._joined()
                failures = 0
                await self._use(connection)
            except LOST as error:
                failures += 1
                log.warning("%s: the log's database is away: %s", self._group, error)
                await asyncio.sleep(backoff(failures, 0.2, 5.0))

    async def _joined(self) -> Connection:
        connection = await self._bus.connect(self._group)
        try:
            await connection.execute(JOIN, self._group, self._topics, SHARDS)
        except BaseException:
            await _close(connection)
            raise
        return connection

    async def _use(self, connection: Connection) -> None:
        self._connected += 1
        try:
            await self._serve(connection)
        finally:
            self._connected -= 1
            await _close(connection)

    async def _serve(self, connection: Connection) -> None:
        seen, look_at = -1, 0.0
        with self._bus.sleeper(self._topics) as arrived:
            while not self._stopping:
                arrived.clear()
                head = await connection.fetchval(NEWEST, self._topics)
                if head != seen or time.monotonic() >= look_at:
                    if await self._turn(connection):
                        continue
                    # A partition that was held back, or whose worker died, has work although the head stands still.
                    seen, look_at = head, min([time.monotonic() + FULL_LOOK, *self._held.values()])
                await wait(arrived, self._bus.poll)

    async def _turn(self, connection: Connection) -> bool:
        """Lock one partition with waiting messages, handle some, move its cursor. False when there was none."""
        async with connection.transaction():
            partition = await connection.fetchrow(PICK, self._group, self._topics, self._still_held())
            if partition is None:
                return False
            done = await self._handle_some(
                await connection.fetch(NEXT, partition["topic"], partition["shard"], partition["seq"], BATCH)
            )
            if done is not None:
                await connection.execute(MOVE, self._group, partition["topic"], partition["shard"], done)
        return True

    async def _handle_some(self, rows: Sequence[Mapping[str, Any]]) -> int | None:
        """The last message that is done, if any. What failed is held back and delivered again."""
        done = None
        until = time.monotonic() + LONGEST_TURN
        for row in rows:
            try:
                await self._handle(_delivered(row))
            except RetryLater as error:
                self._hold(row, error.seconds)
                break
            except Exception:
                log.exception("%s: the handle failed; the message comes again", self._group)
                self._hold(row, 1.0)
                break
            done = row["seq"]
            if self._stopping or time.monotonic() > until:
                break
        return done

    def _hold(self, row: Mapping[str, Any], seconds: float) -> None:
        self._held[f"{row['topic']}/{row['shard']}"] = time.monotonic() + seconds

    def _still_held(self) -> list[str]:
        now = time.monotonic()
        self._held = {partition: until for partition, until in self._held.items() if until > now}
        return list(self._held)


def _event_id(message: Outgoing) -> UUID:
    """The id by which a repeated publish is recognised; messages without one are never the same."""
    try:
        return UUID(message.headers["event_id"])
    except (KeyError, ValueError):
        return uuid7()


def _row(event_id: UUID, message: Outgoing) -> tuple[Any, ...]:
    shard = zlib.crc32(message.key or event_id.bytes) % SHARDS
    return message.topic, message.key, shard, event_id, message.value, dict(message.headers)


def _delivered(row: Mapping[str, Any]) -> Delivered:
    return Delivered(row["topic"], row["shard"], row["seq"], row["key"], row["value"], row["headers"])


async def _close(connection: Connection) -> None:
    try:
        await connection.close(timeout=5)
    except LOST:
        log.debug("the connection was already gone", exc_info=True)
