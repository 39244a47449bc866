"""The bus on Apache Kafka: the settings that keep order and lose nothing, and the topics they need."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from shared.messaging.bus import Handle, Outgoing
from shared.messaging.kafka_consumer import KafkaConsumer

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
        # The client goes on behind a message that failed, so the next one of its key waits for the acknowledgement.
        for wave in _waves(batch):
            await self._publish_together(wave)

    async def _publish_together(self, messages: Sequence[Outgoing]) -> None:
        acknowledgements = [
            await self._client.send(
                message.topic,
                key=message.key,
                value=message.value,
                headers=[(name, value.encode()) for name, value in message.headers.items()],
            )
            for message in messages
        ]
        # Wait for every answer, so that no failure is left unread in a future.
        answers = await asyncio.gather(*acknowledgements, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def close(self) -> None:
        await self._client.stop()


def _waves(batch: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """The batch in order, cut so that no wave holds two messages of one key."""
    waves: list[list[Outgoing]] = []
    earlier: Counter[bytes | None] = Counter()
    for message in batch:
        if earlier[message.key] == len(waves):
            waves.append([])
        waves[earlier[message.key]].append(message)
        earlier[message.key] += 1
    return waves


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
