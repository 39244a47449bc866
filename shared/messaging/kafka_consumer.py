"""One member of a Kafka group: partitions in parallel, each in order, offsets committed after the effects."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared.messaging.bus import Delivered, Handle, RetryLater
from shared.messaging.metrics import COMMIT_FAILURES, REBALANCES, REBUILDS
from shared.messaging.watchdog import SECOND_CHANCE, Watchdog

log = logging.getLogger(__name__)

REVOKE_SECONDS: Final = 10.0
STOP_SECONDS: Final = 20.0
CLOSE_SECONDS: Final = 10.0
WATCH_EVERY: Final = 10.0


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
        return self._membership is not None or not self._topics

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
                    await self._pause(min(30.0, 0.5 * 2.0 ** min(failures, 8)) * random.uniform(0.5, 1.0))  # noqa: S311
        finally:
            self._finished.set()

    async def stop(self) -> None:
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS + 2 * CLOSE_SECONDS):
                await self._finished.wait()

    async def _serve(self) -> None:
        if not self._topics:
            await self._stopping.wait()
            return
        client = self._client(self._group)
        membership = _Membership(client, self._group, self._handle)
        try:
            client.subscribe(topics=self._topics, listener=membership)
            await client.start()
            self._membership = membership
            reason = await self._pull_and_watch(membership)
            if reason is None:
                await membership.release(list(membership.busy), STOP_SECONDS)
        finally:
            self._membership = None
            membership.abandon()
            await _bounded(client.stop())
        if reason is not None:
            self._rebuild_once(reason)

    async def _pull_and_watch(self, membership: "_Membership") -> str | None:
        """Pull until `stop` (None) or until the watchdog barks (the reason)."""
        pulling = asyncio.create_task(membership.pull(self._stopping))
        watching = asyncio.create_task(membership.watch())
        try:
            done, _ = await asyncio.wait({pulling, watching}, return_when=asyncio.FIRST_COMPLETED)
            return pulling.result() if pulling in done else watching.result()
        finally:
            for task in (pulling, watching):
                task.cancel()
            await asyncio.gather(pulling, watching, return_exceptions=True)

    def _rebuild_once(self, reason: str) -> None:
        log.error("%s is stuck: %s", self._group, reason)
        REBUILDS.labels(self._group).inc()
        now = time.monotonic()
        if self._stuck_at is not None and now - self._stuck_at < SECOND_CHANCE:
            raise ConsumerStuck(f"{self._group}: {reason}")
        self._stuck_at = now

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


class _Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """What one client holds: a worker per busy partition, which is paused so that its queue stays short."""

    def __init__(self, client: AIOKafkaConsumer, group: str, handle: Handle) -> None:
        self._client, self._group, self._handle = client, group, handle
        self._leaving: set[TopicPartition] = set()
        self.busy: dict[TopicPartition, asyncio.Task[None]] = {}
        self._watchdog = Watchdog(time.monotonic())

    async def pull(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            batches = await self._client.getmany(timeout_ms=200, max_records=100)
            self._watchdog.pulled_at = time.monotonic()
            for partition, records in batches.items():
                self._start(partition, records)

    def _start(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        self._client.pause(partition)
        worker = asyncio.create_task(self._work(partition, records))
        self.busy[partition] = worker
        worker.add_done_callback(lambda _: self.busy.pop(partition, None))

    async def _work(self, partition: TopicPartition, records: Sequence[Any]) -> None:
        done = None
        try:
            for record in records:
                if partition in self._leaving or not await self._deliver(partition, _delivered(record)):
                    break
                done = record.offset + 1
        except asyncio.CancelledError:
            done = None
            raise
        finally:
            if done is not None:
                await self._commit(partition, done)
            with contextlib.suppress(IllegalStateError):
                self._client.resume(partition)

    async def _deliver(self, partition: TopicPartition, message: Delivered) -> bool:
        """Deliver until it is done; False when the partition is to be given up before."""
        while partition not in self._leaving:
            try:
                await self._handle(message)
            except RetryLater as error:
                seconds = error.seconds
            except Exception:
                log.exception("%s: the handle failed; the message comes again", self._group)
                seconds = 1.0
            else:
                return True
            await self._pause(partition, seconds)
        return False

    async def _pause(self, partition: TopicPartition, seconds: float) -> None:
        """Wait before the next try, though not longer than the partition is ours."""
        until = time.monotonic() + seconds
        for left in iter(lambda: until - time.monotonic(), None):
            if left <= 0 or partition in self._leaving:
                return
            await asyncio.sleep(min(0.1, left))

    async def _commit(self, partition: TopicPartition, offset: int) -> None:
        """A lost commit only means that the inbox will see the messages again."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._client.commit({partition: offset})
        except (CommitFailedError, IllegalStateError, KafkaError, TimeoutError) as error:
            COMMIT_FAILURES.labels(self._group).inc()
            log.warning("%s: offset %d of %s is not committed: %r", self._group, offset, partition, error)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        REBALANCES.labels(self._group).inc()
        await self.release([partition for partition in revoked if partition in self.busy], REVOKE_SECONDS)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._leaving.difference_update(assigned)

    async def release(self, partitions: Sequence[TopicPartition], seconds: float) -> None:
        """Finish the record in hand and commit; who takes longer is cut off and comes again elsewhere."""
        self._leaving.update(partitions)
        workers = [self.busy[partition] for partition in partitions if partition in self.busy]
        if workers:
            _, late = await asyncio.wait(workers, timeout=seconds)
            for worker in late:
                worker.cancel()

    def abandon(self) -> None:
        for worker in list(self.busy.values()):
            worker.cancel()

    async def watch(self) -> str:
        """Return only when the client is stuck, saying why."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            reason = self._watchdog.verdict(time.monotonic(), await self._places())
            if reason is not None:
                return reason

    async def _places(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Next and end offset of every partition that should move: ours that are idle, or all when we have none."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                idle = [p for p in self._client.assignment() if p not in self.busy]
                positions = {p: await self._client.position(p) for p in idle}
                ends = await self._client.end_offsets(idle) if idle else {}
        except (KafkaError, TimeoutError):
            return {}
        return {(p.topic, p.partition): (positions[p], ends[p]) for p in idle}


def _delivered(record: Any) -> Delivered:
    headers = {name: value.decode(errors="replace") for name, value in record.headers}
    return Delivered(record.topic, record.partition, record.offset, record.key, record.value, headers)


async def _bounded(closing: Any) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await closing
    except (KafkaError, OSError, TimeoutError):
        log.debug("the client did not close in time", exc_info=True)
