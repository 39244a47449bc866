"""A Kafka of our own that answers with the errors a real one has, through the interface of aiokafka's clients.

It is as unkind as aiokafka allows: after a message failed the client goes on with the next one, closing flushes
what is left, and some errors come although the message was written.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaConnectionError, for_code

from shared.messaging.bus import Handle
from shared.messaging.kafka.bus import KafkaProducer
from shared.messaging.kafka.consumer import KafkaConsumer
from tests.support.faults.findings import Message

TOPIC: Final = "concordat.double"
PARTITIONS: Final = 3
BATCH: Final = 3
# Leader not available, not leader, timed out, not enough replicas (before and after the append), out of order
# sequence, invalid epoch, unknown producer.
PRODUCE_ERRORS: Final = (5, 6, 7, 19, 20, 45, 47, 59)
ALTHOUGH_WRITTEN: Final = (7, 20)
# Not coordinator, illegal generation, unknown member, rebalance in progress.
COMMIT_ERRORS: Final = (16, 22, 25, 27)
EXPELS: Final = (22, 25, 27)


@dataclass(frozen=True)
class Stored:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass
class Cluster:
    """The log, the committed offsets, and how likely (0 to 1) a message or any other request fails."""

    chance: random.Random
    produce_trouble: float = 0.0
    other_trouble: float = 0.0
    log: list[list[Stored]] = field(default_factory=lambda: [[] for _ in range(PARTITIONS)])
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    produce_errors: int = 0
    commit_errors: int = 0

    def fails(self) -> bool:
        return self.chance.random() < self.other_trouble

    def append(self, partition: int, batch: "Batch") -> None:
        log = self.log[partition]
        for record in batch.records:
            log.append(Stored(TOPIC, partition, len(log), *record))

    async def messages(self) -> AsyncIterator[Message]:
        for log in self.log:
            for stored in log:
                yield stored.partition, stored.offset, stored.value

    async def producer(self) -> KafkaProducer:
        if self.fails():
            raise KafkaConnectionError("no broker answers")
        return KafkaProducer(ProducerClient(self))

    def consumer(self, group: str, topics: Collection[str], handle: Handle) -> KafkaConsumer:
        return KafkaConsumer(lambda name: ConsumerClient(self, name), group, frozenset([TOPIC]), handle)

    async def rewind(self, group: str, topic: str, offsets: Mapping[int, int] | None = None) -> None:
        raise NotImplementedError

    async def missing_topics(self, topics: Collection[str]) -> set[str]:
        return set()


Record = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
Waiting = tuple[int, "Batch", "asyncio.Future[None]"]


@dataclass
class Batch:
    """What `KafkaProducer` uses of aiokafka's builder of batches; a small one, so that there are several."""

    records: list[Record] = field(default_factory=list)

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Any) -> Any:
        if len(self.records) == BATCH:
            return None
        self.records.append((key, value, headers))
        return self


class ProducerClient:
    """What `KafkaProducer` uses of AIOKafkaProducer."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._sender = asyncio.create_task(self._send_all())

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))

    def create_batch(self) -> "Batch":
        return Batch()

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> "asyncio.Future[None]":
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((partition, batch, answer))
        return answer

    async def stop(self) -> None:
        await self._queue.join()
        self._sender.cancel()

    async def _send_all(self) -> None:
        while True:
            partition, batch, answer = await self._queue.get()
            await asyncio.sleep(0.001)
            code = (
                self._cluster.chance.choice(PRODUCE_ERRORS)
                if self._cluster.chance.random() < self._cluster.produce_trouble
                else None
            )
            if code is None or code in ALTHOUGH_WRITTEN:
                self._cluster.append(partition, batch)
            self._answer(answer, code)
            self._queue.task_done()

    def _answer(self, answer: "asyncio.Future[None]", code: int | None) -> None:
        self._cluster.produce_errors += code is not None
        if not answer.done():
            answer.set_result(None) if code is None else answer.set_exception(for_code(code)(f"code {code}"))


class ConsumerClient:
    """What `KafkaConsumer` uses of AIOKafkaConsumer. The only member of its group has every partition."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster, self._group = cluster, group
        self._listener: Any = ConsumerRebalanceListener
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._expelled = True

    def subscribe(self, *, topics: Sequence[str], listener: ConsumerRebalanceListener) -> None:
        self._listener = listener

    async def start(self) -> None:
        if self._cluster.fails():
            raise KafkaConnectionError("no broker answers")

    async def stop(self) -> None:
        return None

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Stored]]:
        await asyncio.sleep(0.005)
        if self._expelled:
            await self._join()
        batches: dict[TopicPartition, list[Stored]] = {}
        for place in self.assignment() - self._paused:
            records = self._cluster.log[place.partition][self._positions[place] :][:max_records]
            if records:
                batches[place] = records
                self._positions[place] += len(records)
        return batches

    async def _join(self) -> None:
        """Everything since the last commit comes again."""
        await self._listener.on_partitions_revoked(self.assignment())
        places = {TopicPartition(TOPIC, n) for n in range(PARTITIONS)}
        self._positions = {p: self._cluster.committed.get((self._group, p.partition), 0) for p in places}
        self._paused.clear()
        self._expelled = False
        await self._listener.on_partitions_assigned(places)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        if self._cluster.fails():
            self._cluster.commit_errors += 1
            code = self._cluster.chance.choice(COMMIT_ERRORS)
            self._expelled = code in EXPELS
            raise CommitFailedError if self._expelled else for_code(code)(f"code {code}")
        for place, offset in offsets.items():
            self._cluster.committed[self._group, place.partition] = offset

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= set(partitions)

    async def position(self, partition: TopicPartition) -> int:
        return self._positions[partition]

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: len(self._cluster.log[place.partition]) for place in partitions}
