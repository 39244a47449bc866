"""After the run: what the database and the bus really hold, written into the history for the checker."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.support.faults.actors import Setup
from tests.support.faults.history import History
from tests.support.faults.service import NoteChanged

Message = tuple[int, int, bytes | None]
"""Partition, offset, value."""
SOURCES: Final = (
    ("row", "SELECT id AS aggregate, version FROM note"),
    ("applied", "SELECT command AS key, note_id AS aggregate, version FROM applied"),
    (
        "audit",
        """
        SELECT object_id AS aggregate, object_version AS version, chain || '/' || visibility AS chain, seq,
               canonical, encode(hash, 'hex') AS hash
          FROM audit WHERE action = 'note.change' OR seq IS NOT NULL
        """,
    ),
    (
        "outbox",
        """
        SELECT event_id AS event, aggregate_id AS aggregate, aggregate_version AS version,
               NOT EXISTS (SELECT FROM outbox o WHERE o.position = e.position) AS published
          FROM event e WHERE aggregate_type = 'note'
        """,
    ),
    ("inbox", 'SELECT consumer AS "group", event_id AS event, outcome FROM inbox'),
    (
        "effect",
        'SELECT consumer AS "group", event_id AS event, note_id AS aggregate, version, n FROM effect',
    ),
)
# The groups listen to notes only; now and then the audit trail publishes a checkpoint too.
WAITING: Final = """
    SELECT (SELECT count(*) FROM outbox)
         + (SELECT count(*) FROM event o CROSS JOIN unnest($1::text[]) AS wanted (name)
             WHERE o.aggregate_type = 'note'
               AND NOT EXISTS (SELECT FROM inbox i WHERE i.consumer = wanted.name AND i.event_id = o.event_id))
"""


async def waiting(connection: Any, groups: tuple[str, ...]) -> int:
    """How many events still have to reach the bus or a group."""
    return int(await connection.fetchval(WAITING, list(groups)))


async def write_findings(history: History, connection: Any, messages: AsyncIterator[Message]) -> None:
    """Note every row and every message of the run."""
    for kind, query in SOURCES:
        for row in await connection.fetch(query):
            history.note(kind, **{name: _plain(value) for name, value in row.items()})
    async for partition, offset, value in messages:
        _record_message(history, partition, offset, value)


def _record_message(history: History, partition: int, offset: int, value: bytes | None) -> None:
    """Messages that tests threw onto the bus themselves are named so."""
    place = {"partition": partition, "offset": offset}
    try:
        event = orjson.loads(value or b"")
        facts = {"event": event["id"], "aggregate": event["subject"], "version": event["sequence"]}
        is_ours = event["type"] == NoteChanged.TYPE and event["source"].startswith("/services/")
    except (ValueError, KeyError, TypeError):
        history.note("injected", **place)
        return
    history.note("logged" if is_ours else "injected", **facts, **place)


def messages_on_the_bus(setup: Setup) -> AsyncIterator[Message]:
    """Everything that was ever published to the topic."""
    return _kafka_messages(setup) if setup.bus == "kafka" else _log_messages(setup)


async def _log_messages(setup: Setup) -> AsyncIterator[Message]:
    connection = await asyncpg.connect(setup.bus_address)
    rows = await connection.fetch("SELECT shard, seq, value FROM bus.bus_event ORDER BY seq")
    await connection.close()
    for row in rows:
        yield row["shard"], row["seq"], row["value"]


async def _kafka_messages(setup: Setup) -> AsyncIterator[Message]:
    client = AIOKafkaConsumer(bootstrap_servers=setup.bus_address, enable_auto_commit=False)
    await client.start()
    try:
        partitions = [TopicPartition(setup.topic, n) for n in await client_partitions(client, setup.topic)]
        client.assign(partitions)
        await client.seek_to_beginning(*partitions)
        ends = await client.end_offsets(partitions)
        while any([await client.position(p) < ends[p] for p in partitions]):
            for records in (await client.getmany(timeout_ms=500)).values():
                for record in records:
                    yield record.partition, record.offset, record.value
    finally:
        await client.stop()


async def client_partitions(client: AIOKafkaConsumer, topic: str) -> list[int]:
    """The partitions of a topic the client did not subscribe to, so it has to be told to learn about it."""
    await client._client.add_topic(topic)
    return sorted(client._client.cluster.partitions_for_topic(topic) or ())


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value
