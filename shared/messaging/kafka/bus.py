"""The bus on Apache Kafka: the settings that keep order and lose nothing, and the topics they need."""

import asyncio
import ssl
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from shared.messaging.bus import Handle, Outgoing
from shared.messaging.kafka.consumer import KafkaConsumer

# Changing the number of partitions moves keys and breaks their order, so it is generous from the first day.
PARTITIONS: Final = 12
REPLICATION: Final = 3
TOPIC_SETTINGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": str(14 * 24 * 3600 * 1000),
    "max.message.bytes": "1048576",
    "unclean.leader.election.enable": "false",
}


@dataclass(frozen=True)
class KafkaAddress:
    """Where the brokers are and how to talk to them; `sasl` has aiokafka's own option names."""

    bootstrap: str
    tls: ssl.SSLContext | None = None
    sasl: Mapping[str, str] = field(default_factory=dict, repr=False)

    def options(self) -> dict[str, Any]:
        protocol = {(False, False): "PLAINTEXT", (True, False): "SSL", (False, True): "SASL_PLAINTEXT"}
        security = protocol.get((self.tls is not None, bool(self.sasl)), "SASL_SSL")
        return {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": security,
            "ssl_context": self.tls,
            **self.sasl,
        }


class KafkaBus:
    """Publishers and consumers on one Kafka cluster.

    `instance_id` (such as the pod's name) makes membership static: a restart within the session time-out
    does not give the partitions to others.
    """

    def __init__(
        self, address: str | KafkaAddress, *, instance_id: str | None = None, session_timeout_ms: int = 45_000
    ) -> None:
        self.address = KafkaAddress(address) if isinstance(address, str) else address
        self.instance_id, self.session_timeout_ms = instance_id, session_timeout_ms

    async def producer(self) -> "KafkaProducer":
        client = AIOKafkaProducer(
            **self.address.options(),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            max_batch_size=131_072,
            max_request_size=1_048_576,
            request_timeout_ms=15_000,
        )
        try:
            await client.start()
        except BaseException:
            await client.stop()
            raise
        return KafkaProducer(client)

    def consumer(self, group: str, topics: Collection[str], handle: Handle) -> KafkaConsumer:
        return KafkaConsumer(self._client, group, frozenset(topics), handle)

    async def rewind(self, group: str, topic: str, offsets: Mapping[int, int] | None = None) -> None:
        client = self._client(group, static=False)
        await client.start()
        try:
            partitions = [TopicPartition(topic, n) for n in await self._partitions(topic)]
            places = await client.beginning_offsets(partitions)
            if offsets is not None:
                places = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
            client.assign(partitions)
            await client.commit(places)
        finally:
            await client.stop()

    async def missing_topics(self, topics: Collection[str]) -> set[str]:
        async with _admin(self.address) as admin:
            return set(topics) - set(await admin.list_topics())

    async def _partitions(self, topic: str) -> list[int]:
        async with _admin(self.address) as admin:
            [description] = await admin.describe_topics([topic])
        if not description["partitions"]:
            raise UnknownTopicOrPartitionError(topic)
        return sorted(partition["partition"] for partition in description["partitions"])

    def _client(self, group: str, *, static: bool = True) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self.address.options(),
            group_id=group,
            group_instance_id=f"{group}-{self.instance_id}" if static and self.instance_id else None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=self.session_timeout_ms,
            heartbeat_interval_ms=min(3000, self.session_timeout_ms // 3),
            max_poll_interval_ms=300_000,
            max_poll_records=100,
            # What was fetched beyond one poll is fetched again after a pause, so do not fetch much.
            max_partition_fetch_bytes=262_144,
            isolation_level="read_committed",
        )


class KafkaProducer:
    """One idempotent producer, good until its first failure."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Every partition gets its messages in order, whole batches at a time, all partitions at once."""
        places: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        counts = {topic: len(await self._client.partitions_for(topic)) for topic in {m.topic for m in batch}}
        for message in batch:
            places[message.topic, partition_of(message.key, counts[message.topic])].append(message)
        sent = [self._send(*place, messages) for place, messages in places.items()]
        # Wait for every answer, so that no failure is left unread.
        for answer in await asyncio.gather(*sent, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    async def _send(self, topic: str, partition: int, messages: Sequence[Outgoing]) -> None:
        """The client goes on behind a batch that failed, so the next one waits for the acknowledgement."""
        batch = self._client.create_batch()
        for message in messages:
            if not _appended(batch, message):
                await self._acknowledged(batch, topic, partition)
                batch = self._client.create_batch()
                _appended(batch, message)
        await self._acknowledged(batch, topic, partition)

    async def _acknowledged(self, batch: Any, topic: str, partition: int) -> None:
        await (await self._client.send_batch(batch, topic, partition=partition))

    async def close(self) -> None:
        await self._client.stop()


def partition_of(key: bytes | None, count: int) -> int:
    """Where a key belongs: CRC-32, as librdkafka does by default (Java's murmur2 costs ten times as much here)."""
    return zlib.crc32(key or b"") % count


def _appended(batch: Any, message: Outgoing) -> bool:
    """False when the batch is full. An empty one takes any message."""
    headers = [(name, value.encode()) for name, value in message.headers.items()]
    return batch.append(timestamp=None, key=message.key, value=message.value, headers=headers) is not None


async def ensure_topics(
    address: str | KafkaAddress,
    names: Collection[str],
    *,
    partitions: int = PARTITIONS,
    replication: int = REPLICATION,
) -> list[str]:
    """Create the topics that do not exist; returns their names. Existing ones stay as they are."""
    where = KafkaAddress(address) if isinstance(address, str) else address
    settings = dict(TOPIC_SETTINGS) | {"min.insync.replicas": str(max(1, replication - 1))}
    async with _admin(where) as admin:
        wanted = sorted(set(names) - set(await admin.list_topics()))
        topics = [NewTopic(name, partitions, replication, topic_configs=settings) for name in wanted]
        if topics:
            _raise_refusals(await admin.create_topics(topics))
    return wanted


@asynccontextmanager
async def _admin(address: KafkaAddress) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**address.options())
    try:
        await client.start()
        yield client
    finally:
        await client.close()


def _raise_refusals(response: Any) -> None:
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise error(f"{name}: {rest[0] if rest else ''}")
