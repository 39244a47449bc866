"""From the outbox to the bus: at least once, in order per aggregate, one relay per shard at a time.

Works on the state of the queue (what is in it was not published), never on a cursor: positions are given out before
transactions commit, so a reader that remembers the last position steps over what commits later.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import SpanKind

from shared.contracts.base import SHARDS, rfc3339
from shared.messaging.bus import Bus, Outgoing, Producer
from shared.messaging.connection import Connection, connect
from shared.messaging.metrics import PUBLISH_FAILURES, PUBLISHED
from shared.messaging.pacing import backoff, wait
from shared.runtime import failpoints
from shared.runtime.telemetry import Attributes, linked_span

log = logging.getLogger(__name__)

READY_SHARDS: Final = """
    SELECT shards.shard FROM generate_series(0, $1 - 1) AS shards (shard)
    WHERE EXISTS (SELECT FROM outbox WHERE outbox.shard = shards.shard)
"""
# The oldest of every shard by itself: sorted over all of them, a long queue would be read whole for each batch.
# What came before it in its aggregate lets a consumer see a gap; the archive alone knows.
READY_ROWS: Final = """
    WITH ready AS MATERIALIZED (
      SELECT shard, position FROM unnest($1::smallint[]) AS locked, LATERAL (
        SELECT shard, position FROM outbox WHERE shard = locked ORDER BY position LIMIT $2) AS oldest)
    SELECT shard, position, topic, event_id::text, source, event.event_type, aggregate_id::text, at, traceparent, payload,
           previous.version AS previous_version, previous.event_type AS previous_type
      FROM ready JOIN event USING (position)
      LEFT JOIN LATERAL (
        SELECT former.aggregate_version AS version, former.event_type FROM event former
         WHERE former.aggregate_id = event.aggregate_id AND former.aggregate_version < event.aggregate_version
         ORDER BY former.aggregate_version DESC LIMIT 1) previous ON true
     ORDER BY position
"""
LOCK: Final = "SELECT shard FROM unnest($2::int[]) AS shard WHERE pg_try_advisory_xact_lock($1, shard)"
DONE: Final = """
    DELETE FROM outbox USING unnest($1::smallint[], $2::bigint[]) AS done (shard, position)
     WHERE outbox.shard = done.shard AND outbox.position = done.position
"""
RECORD_FAILURE: Final = """
    UPDATE outbox SET attempts = attempts + 1, last_error = $2
    WHERE shard = $1 AND position = (SELECT min(position) FROM outbox WHERE shard = $1)
"""
CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"


@dataclass(frozen=True)
class RelayTiming:
    """Seconds. `publish` bounds one batch: a client may retry for ever while it believes in a leader."""

    poll: float = 0.2
    publish: float = 30.0
    close: float = 5.0
    first_backoff: float = 0.25
    longest_backoff: float = 30.0


WORKERS: Final = 2
"""Batches in flight at a time: while the bus answers for one, the next is read."""
SUSPECT: Final = (0, 0.0)
"""How often a shard was refused by itself, and until when (monotonic) it is left alone: not yet, and not at all."""


@dataclass(frozen=True)
class _Worker:
    connection: Connection
    producer: Producer


class ShardFailed(Exception):
    """The bus did not take a shard's batch; its producer must not be used again."""


class Relay:
    """Publishes one service's outbox. Run as many as you like: an advisory lock lets one work on a shard."""

    def __init__(
        self,
        url: str,
        bus: Bus,
        *,
        service: str,
        schema: str | None = None,
        shards: int = SHARDS,
        batch: int = 1000,
        wakeup: asyncio.Event | None = None,
        timing: RelayTiming | None = None,
    ) -> None:
        self._url, self._bus, self._service, self._schema = url, bus, service, schema
        self._shards, self._batch = shards, batch
        self._wakeup = wakeup or asyncio.Event()
        self._timing = timing or RelayTiming()
        self._lock_class = lock_class(service)
        self._stop = asyncio.Event()
        self._failures = 0
        self._refused: dict[int, tuple[int, float]] = {}
        self._published = PUBLISHED.labels(service)
        self._failed = PUBLISH_FAILURES.labels(service)
        self.healthy = False

    async def run(self) -> None:
        """Publish until `stop`. Lost connections and brokers only slow it down."""
        while not self._stop.is_set():
            try:
                await self._generation()
            except ShardFailed as error:
                log.warning("%s: %s", self._service, error)
                self._failed.inc()
            except Exception:
                self.healthy = False
                self._failures += 1
                log.warning("%s: the relay starts over", self._service, exc_info=True)
                self._failed.inc()
                # Not the wakeup: while the bus is away, every request would start it over.
                await wait(self._stop, self._backoff(self._failures))

    async def stop(self) -> None:
        """Let the batch in hand finish, then end `run`."""
        self._stop.set()
        self._wakeup.set()

    async def _generation(self) -> None:
        """Connections and producers, used until one fails."""
        async with AsyncExitStack() as stack:
            await self._work([await stack.enter_async_context(self._worker()) for _ in range(WORKERS)])

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[_Worker]:
        connection = await connect(self._url, f"relay-{self._service}", self._schema)
        try:
            async with asyncio.timeout(self._timing.publish):
                producer = await self._bus.producer()
            try:
                yield _Worker(connection, producer)
            finally:
                await _bounded(producer.close(), self._timing.close)
        finally:
            await _bounded(connection.close(), self._timing.close)

    async def _work(self, workers: Sequence[_Worker]) -> None:
        while not self._stop.is_set():
            self._wakeup.clear()
            published = await self._sweep(workers)
            self._failures, self.healthy = 0, True
            if not published:
                await wait(self._wakeup, self._timing.poll)

    async def _sweep(self, workers: Sequence[_Worker]) -> int:
        """Publish a batch of every shard that has one; while one worker waits for the bus, the other reads."""
        ready = [row["shard"] for row in await workers[0].connection.fetch(READY_SHARDS, self._shards)]
        batches = iter(self._batches([shard for shard in ready if not self._is_held(shard)]))
        sweeps = [self._publish_batches(worker, batches) for worker in workers[: len(ready)]]
        published = 0
        for count in await asyncio.gather(*sweeps, return_exceptions=True):
            if isinstance(count, BaseException):
                raise count
            published += count
        return published

    def _batches(self, shards: Sequence[int]) -> list[list[int]]:
        """Shards that are published in one transaction: a batch for each worker, and those the bus may have refused one by one."""
        trusted = [shard for shard in shards if shard not in self._refused]
        batches = [trusted[nth::WORKERS] for nth in range(WORKERS)]
        return [batch for batch in batches if batch] + [[shard] for shard in shards if shard in self._refused]

    async def _publish_batches(self, worker: _Worker, batches: Iterator[list[int]]) -> int:
        published = 0
        for shards in batches:
            if self._stop.is_set():
                break
            published += await self._publish_shards(worker.connection, worker.producer, shards)
        return published

    async def _publish_shards(self, connection: Connection, producer: Producer, wanted: Sequence[int]) -> int:
        async with connection.transaction():
            shards = [row["shard"] for row in await connection.fetch(LOCK, self._lock_class, wanted)]
            if not shards:
                return 0
            rows = await connection.fetch(READY_ROWS, shards, max(1, self._batch // len(shards)))
            failure: Exception | None = None
            try:
                async with asyncio.timeout(self._timing.publish):
                    await self._publish(producer, [outgoing(row) for row in rows])
            except Exception as error:
                failure = error
            else:
                failpoints.hit("relay_after_publish")
                places = [row["shard"] for row in rows], [row["position"] for row in rows]
                await connection.execute(DONE, *places)
        if failure is not None:
            await self._set_back(connection, shards, failure)
        for shard in shards:
            self._refused.pop(shard, None)
        self._published.inc(len(rows))
        return len(rows)

    async def _publish(self, producer: Producer, batch: Sequence[Outgoing]) -> None:
        """Under a span linked to those the events were written in. The events keep the context they have:
        whoever reacts to one is linked to its cause, not to the relay.
        """
        about: Attributes = {"concordat.service": self._service, "messaging.batch.message_count": len(batch)}
        causes = (message.headers.get("traceparent") for message in batch)
        with linked_span(f"publish {self._service}", SpanKind.PRODUCER, causes, about):
            await producer.publish(batch)

    async def _set_back(self, connection: Connection, shards: Sequence[int], error: Exception) -> None:
        """Leave a refused shard alone for a while, so that one event does not slow the others down.

        Which of several it was nobody knows, so each is tried by itself next.
        """
        reason = f"{type(error).__name__}: {error}"[:1000]
        if len(shards) > 1:
            self._refused |= dict.fromkeys(shards, SUSPECT)
            raise ShardFailed(f"shards {shards} are tried one by one: {reason}") from error
        [shard] = shards
        failures = self._refused.get(shard, SUSPECT)[0] + 1
        self._refused[shard] = (failures, time.monotonic() + self._backoff(failures))
        await connection.execute(RECORD_FAILURE, shard, reason)
        raise ShardFailed(f"shard {shard} was not published: {reason}") from error

    def _is_held(self, shard: int) -> bool:
        return time.monotonic() < self._refused.get(shard, SUSPECT)[1]

    def _backoff(self, failures: int) -> float:
        return backoff(failures, self._timing.first_backoff, self._timing.longest_backoff)


def lock_class(service: str) -> int:
    """The first half of a service's advisory locks: services may share a database but never a shard's lock."""
    return zlib.crc32(f"concordat.relay.{service}".encode()) - 2**31


def outgoing(row: Mapping[str, Any]) -> Outgoing:
    """The message of a row of `READY_ROWS`."""
    return Outgoing(row["topic"], row["aggregate_id"].encode(), row["payload"], _headers(row))


def _headers(row: Mapping[str, Any]) -> dict[str, str]:
    """The attributes a reader may want without parsing the value (CloudEvents Kafka binding 3.3)."""
    headers = {
        "content-type": CONTENT_TYPE,
        "event_specversion": "1.0",
        "event_id": row["event_id"],
        "event_source": row["source"],
        "event_type": row["event_type"],
        "event_subject": row["aggregate_id"],
        "event_time": rfc3339(row["at"]),
    }
    if row["traceparent"] is not None:
        headers["traceparent"] = row["traceparent"]
    if row["previous_version"] is not None:
        headers["event_previous"] = str(row["previous_version"])
        headers["event_previoustype"] = row["previous_type"]
    return headers


async def _bounded(closing: Awaitable[None], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await closing
    except Exception:
        log.debug("closing took too long or failed; the next generation does not depend on it", exc_info=True)
