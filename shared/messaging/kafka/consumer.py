"""One member of a Kafka group: partitions in parallel, each in order, offsets committed after the effects."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from shared.messaging.bus import Delivered, Handle, RetryLater
from shared.messaging.kafka.watchdog import SECOND_CHANCE, Partition, Watchdog
from shared.messaging.metrics import COMMIT_FAILURES, REBALANCES, REBUILDS
from shared.messaging.pacing import backoff, wait

log = logging.getLogger(__name__)

START_SECONDS: Final = 30.0
REVOKE_SECONDS: Final = 10.0
STOP_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 10.0
WATCH_EVERY: Final = 10.0
COMMIT_EVERY: Final = 0.2
COMMIT_AGAIN: Final = 1.0
MOST_WAITING: Final = 200


class ConsumerStuck(RuntimeError):
    """The client made no progress twice within five minutes; only a new process may help."""


class KafkaConsumer:
    """Runs one client at a time and replaces it when it fails or stops making progress."""

    def __init__(
        self,
        client: Callable[[str], AIOKafkaConsumer],
        group: str,
        topics: frozenset[str],
        handle: Handle,
    ) -> None:
        self._client, self._group, self._topics, self._handle = client, group, topics, handle
        self._stopping = asyncio.Event()
        self._finished = asyncio.Event()
        self._finished.set()
        self._membership: _Membership | None = None
        self._stuck_at: float | None = None

    @property
    def healthy(self) -> bool:
        return not self._topics or (self._membership is not None and self._membership.watchdog.reachable)

    async def run(self) -> None:
        """Raises ConsumerStuck when a second client in five minutes makes no progress."""
        self._finished.clear()
        failures = 0
        try:
            while not self._stopping.is_set():
                try:
                    await self._serve()
                    failures = 0
                except (KafkaError, OSError) as error:
                    failures += 1
                    log.warning("%s: the Kafka client starts over: %r", self._group, error)
                    REBUILDS.labels(self._group).inc()
                    await wait(self._stopping, backoff(failures, 0.5, 30.0))
        finally:
            self._finished.set()

    async def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS + 2 * CLOSE_SECONDS):
                await self._finished.wait()

    async def waiting(self) -> dict[tuple[str, str], int]:
        """Of the partitions this member holds, as the watchdog saw them last."""
        return self._membership.waiting if self._membership else {}

    async def _serve(self) -> None:
        if not self._topics:
            await self._stopping.wait()
            return
        client = self._client(self._group)
        membership = _Membership(client, self._group, self._topics, self._handle)
        try:
            async with asyncio.timeout(START_SECONDS):
                await client.start()
            # Only now: a client that subscribes before it starts waits for its partitions without a limit.
            client.subscribe(topics=sorted(self._topics), listener=membership)
            self._membership = membership
            reason = await self._pull_and_watch(membership)
            if reason is None:
                await membership.release(STOP_SECONDS)
        finally:
            self._membership = None
            await membership.abandon()
            await _bounded(client.stop())
        if reason is not None:
            self._rebuild_once(reason)

    async def _pull_and_watch(self, membership: "_Membership") -> str | None:
        """Pull until `stop` (None) or until the watchdog barks (the reason)."""
        pulling = asyncio.create_task(membership.pull(self._stopping))
        watching = asyncio.create_task(membership.watch())
        committing = asyncio.create_task(membership.keep_committing())
        try:
            done, _ = await asyncio.wait({pulling, watching}, return_when=asyncio.FIRST_COMPLETED)
            return pulling.result() if pulling in done else watching.result()
        finally:
            for task in (pulling, watching, committing):
                task.cancel()
            await asyncio.gather(pulling, watching, committing, return_exceptions=True)

    def _rebuild_once(self, reason: str) -> None:
        log.error("%s is stuck: %s", self._group, reason)
        REBUILDS.labels(self._group).inc()
        now = time.monotonic()
        if self._stuck_at is not None and now - self._stuck_at < SECOND_CHANCE:
            raise ConsumerStuck(f"{self._group}: {reason}")
        self._stuck_at = now


@dataclass
class _Queue:
    """A busy partition: what waits, its worker, and the signal that ends it after the record in hand."""

    waiting: deque[Any] = field(default_factory=deque)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    worker: "asyncio.Task[None] | None" = None
    paused: bool = False


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """What one client holds: a queue per busy partition.

    A partition is paused only while a lot waits in its queue: after a pause the client first waits for its
    running fetch of the others, up to half a second. What the client itself kept back would block them too.
    """

    def __init__(self, client: AIOKafkaConsumer, group: str, topics: Collection[str], handle: Handle) -> None:
        self._client, self._group, self._topics, self._handle = client, group, topics, handle
        self._queues: dict[TopicPartition, _Queue] = {}
        self._settled = True
        self._next: dict[TopicPartition, int] = {}
        self._done: dict[TopicPartition, int] = {}
        self.waiting: dict[tuple[str, str], int] = {}
        self.watchdog = Watchdog(time.monotonic())

    async def pull(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            batches = await self._client.getmany(timeout_ms=200, max_records=100)
            self.watchdog.pulled_at = time.monotonic()
            # What arrives during a rebalance comes again to whoever gets the partition.
            for partition, records in batches.items() if self._settled else ():
                self._take(partition, records)

    def _take(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        queue = self._queues.get(partition)
        if queue is None:
            queue = self._queues[partition] = _Queue()
            self._next[partition] = records[0].offset
            queue.worker = asyncio.create_task(self._work(partition, queue))
        queue.waiting.extend(records)
        if len(queue.waiting) > MOST_WAITING:
            queue.paused = True
            self._client.pause(partition)

    async def _work(self, partition: TopicPartition, queue: _Queue) -> None:
        """Handle what waits until nothing does. The queue goes in the same breath as it was seen empty."""
        try:
            while queue.waiting:
                record = queue.waiting.popleft()
                if not await self._deliver(_delivered(record), queue.leaving):
                    break
                self._done[partition] = self._next[partition] = record.offset + 1
        finally:
            if self._queues.get(partition) is queue:
                del self._queues[partition]
                self._resume(partition, queue)

    def _resume(self, partition: TopicPartition, queue: _Queue) -> None:
        if queue.paused:
            queue.paused = False
            with contextlib.suppress(IllegalStateError):
                self._client.resume(partition)

    async def _deliver(self, message: Delivered, leaving: asyncio.Event) -> bool:
        """Deliver until it is done; False when the partition is to be given up before."""
        while not leaving.is_set():
            try:
                await self._handle(message)
            except RetryLater as error:
                await wait(leaving, error.seconds)
            except Exception:
                log.exception("%s: the handle failed; the message comes again", self._group)
                await wait(leaving, 1.0)
            else:
                return True
        return False

    async def keep_committing(self) -> None:
        """Say from time to time how far every partition is."""
        while True:
            await asyncio.sleep(COMMIT_EVERY if await self._commit() else COMMIT_AGAIN)

    async def _commit(self) -> bool:
        """Whether the broker knows what is done. A lost commit only means that the inbox sees messages again."""
        done = dict(self._done)
        if not done:
            return True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.commit(done)
        except (KafkaError, TimeoutError) as error:
            COMMIT_FAILURES.labels(self._group).inc()
            log.warning("%s: offsets are not committed: %r", self._group, error)
            return False
        self._done = {place: offset for place, offset in self._done.items() if done.get(place) != offset}
        return True

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._settled = False
        REBALANCES.labels(self._group).inc()
        await self.release(REVOKE_SECONDS)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._settled = True

    async def release(self, seconds: float) -> None:
        """Finish the records in hand and commit; what takes longer is cut off and comes again elsewhere."""
        queues = list(self._queues.values())
        for queue in queues:
            queue.leaving.set()
        if queues:
            await asyncio.wait([queue.worker for queue in queues if queue.worker], timeout=seconds)
        await self.abandon()
        await self._commit()
        self._done.clear()  # from here on others may be further than we were

    async def abandon(self) -> None:
        """Cut off what is in hand; its messages come again."""
        workers = [queue.worker for queue in self._queues.values() if queue.worker]
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def watch(self) -> str:
        """Return only when the client is stuck, saying why."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            reason = self.watchdog.verdict(time.monotonic(), await self._places())
            if reason is not None:
                return reason

    async def _places(self) -> dict[Partition, tuple[int, int]] | None:
        """Next and end offset of what should move. Busy partitions take the time their messages need."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                mine = self._client.assignment()
                return await (self._own_places(mine) if mine else self._group_place())
        except (KafkaError, TimeoutError):
            return None

    async def _own_places(self, mine: Collection[TopicPartition]) -> dict[Partition, tuple[int, int]]:
        """The idle ones; by the way it notes how far every one of them is behind."""
        ends = await self._client.end_offsets(list(mine))
        idle = {p: await self._client.position(p) for p in mine if p not in self._queues}
        places = {p: idle[p] if p in idle else self._next[p] for p in mine}
        self.waiting = {(p.topic, str(p.partition)): max(0, ends[p] - places[p]) for p in mine}
        return {(p.topic, p.partition): (place, ends[p]) for p, place in idle.items()}

    async def _group_place(self) -> dict[Partition, tuple[int, int]]:
        """Without any assignment we watch the group as one: a lost member looks like a spare one."""
        self.waiting = {}
        everything = [
            TopicPartition(topic, n)
            for topic in self._topics
            for n in self._client.partitions_for_topic(topic) or ()
        ]
        ends = await self._client.end_offsets(everything) if everything else {}
        committed = sum([await self._client.committed(p) or 0 for p in everything])
        return {("the whole group", 0): (committed, sum(ends.values()))}


def _delivered(record: Any) -> Delivered:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    return Delivered(record.topic, record.partition, record.offset, record.key, record.value, headers)


async def _bounded(closing: Any) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await closing
    except (KafkaError, OSError, TimeoutError):
        log.debug("the client did not close in time", exc_info=True)
