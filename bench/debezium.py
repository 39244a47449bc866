"""The relay against Debezium on Kafka Connect: one outbox, one PostgreSQL, one broker."""

import asyncio
import logging
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import psutil  # type: ignore[import-untyped]
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.debezium_connect import DEBEZIUM, PUBLICATION, SLOT, Worker, connector, fetched
from bench.figures import Figure, Options, Result, Sample, Side, Skipped, Step, interleave
from bench.kafka import DRAIN_SECONDS, EVENTS, FILL, LOOK_SECONDS, NoKafka, broker, drain, one_event
from bench.stage import Stage, stage
from concordat.embedded.postgres import EmbeddedPostgres
from shared.data import migrations
from shared.messaging.kafka.bus import PARTITIONS

TITLE = "Relay vs Debezium's connector for PostgreSQL"
WARM_UP_ROUNDS = 8
COUNTED_ROUNDS = 3
START_SECONDS = 60

STREAMING = """
    SELECT EXISTS (SELECT FROM pg_replication_slots
                   WHERE slot_name = $1 AND active AND confirmed_flush_lsn IS NOT NULL)
"""
DROP_SLOT = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{}'"
NOTE = (
    "Debezium's threads decode, transform and send at once on both cores and mark nothing, the relay takes every row "
    "off the queue durably; against a cold Java machine (its first 20,000 events) the ratio is about 3"
)


def relays(options: Options, step: Step) -> list[Result]:
    """Drain committed outbox rows to one broker, by the relay and by Debezium in turn."""
    try:
        step("starting Kafka")
        with broker() as bootstrap:
            step("fetching Debezium")
            fetched()
            with stage("changes") as on, logical_decoding(on):
                return [_measure(options, step, on, bootstrap)]
    except NoKafka as reason:
        return [Skipped("relay_vs_debezium", TITLE, f"skipped: {reason}")]


@contextmanager
def logical_decoding(on: Stage) -> Iterator[None]:
    """The stage's PostgreSQL with wal_level=logical, which takes a restart; it keeps its port."""
    on.execute("ALTER SYSTEM SET wal_level = logical")
    server = EmbeddedPostgres(on.ready.folder / "postgres", port=urlsplit(on.admin_url).port)
    postmaster = psutil.Process(int((server.pgdata / "postmaster.pid").read_text().split()[0]))
    postmaster.send_signal(signal.SIGINT)
    postmaster.wait(START_SECONDS)
    with server:
        yield


def _measure(options: Options, step: Step, on: Stage, bootstrap: str) -> Figure:
    size, topic = one_event(on, bootstrap)
    on.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE changes.event WITH (publish = 'insert')")
    url = on.ready.url(migrations.runtime_role("changes"))
    candidates = {
        "relay": lambda: uvloop.run(drain(on.admin_url, url, bootstrap)),
        "debezium": lambda: _stream(on, bootstrap, topic),
    }
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # fresh topics have no leader for a moment
    step("warming up the broker")
    candidates["relay"]()
    runs = interleave(candidates, options, step)
    return Figure(
        "relay_vs_debezium", TITLE, *_sides(size, runs["relay"], runs["debezium"]), aim=1.0, note=NOTE
    )


def _sides(size: int, ours: Sequence[Sample], peers: Sequence[Sample]) -> tuple[Side, Side]:
    ours_did = (
        f"{EVENTS} committed outbox rows of {size} bytes over 16 shards, from the relay's start: connected, read, "
        "sent with acks=all and idempotence, taken off the queue; wal_level=logical; one relay"
    )
    peer_did = (
        f"Debezium {DEBEZIUM} on a standalone Kafka Connect worker: pgoutput, outbox event router, the same rows, topic "
        f"and producer settings; from the commit of {EVENTS} rows to the last of them in the topic, the last "
        f"{COUNTED_ROUNDS} of {WARM_UP_ROUNDS + COUNTED_ROUNDS} rounds of a worker that was streaming already"
    )
    return Side(ours_did, "events/s", ours), Side(peer_did, "events/s", peers)


def _stream(on: Stage, bootstrap: str, topic: str) -> Sample:
    on.execute("TRUNCATE changes.outbox")
    try:
        with connector(on.admin_url, bootstrap) as worker:
            return uvloop.run(_rounds(on.admin_url, bootstrap, topic, worker))
    finally:
        on.execute(DROP_SLOT.format(SLOT))


async def _rounds(admin_url: str, bootstrap: str, topic: str, worker: Worker) -> Sample:
    """Equal rounds on one worker; the first ones let its Java machine compile and are not counted."""
    admin = await asyncpg.connect(admin_url)
    watcher = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await watcher.start()
    try:
        await _until_streaming(admin, worker)
        early = [await _round(admin, watcher, topic, worker) for _ in range(WARM_UP_ROUNDS)]
        cpu = worker.cpu_seconds()
        counted = [await _round(admin, watcher, topic, worker) for _ in range(COUNTED_ROUNDS)]
        cpu = worker.cpu_seconds() - cpu
    finally:
        await watcher.stop()
        await admin.close()
    events, spent = EVENTS * COUNTED_ROUNDS, sum(counted)
    cold = {f"round_{number}": EVENTS / seconds for number, seconds in enumerate(early[:2], 1)}
    return Sample(events / spent, {"seconds": spent, "client_cpu_us": cpu / events * 1e6, **cold})


async def _until_streaming(admin: "asyncpg.Connection", worker: Worker) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not await admin.fetchval(STREAMING, SLOT):
        worker.check(deadline, "did not start streaming")
        await asyncio.sleep(0.1)


async def _round(admin: "asyncpg.Connection", watcher: AIOKafkaConsumer, topic: str, worker: Worker) -> float:
    """Seconds from the commit of all rows in one transaction to the last record the broker has."""
    wanted = await _length(watcher, topic) + EVENTS
    await admin.execute(FILL, EVENTS)
    started = time.perf_counter()
    deadline = time.monotonic() + DRAIN_SECONDS
    while (length := await _length(watcher, topic)) < wanted:
        worker.check(deadline, f"left out {wanted - length} of {EVENTS} events")
        await asyncio.sleep(LOOK_SECONDS)
    return time.perf_counter() - started


async def _length(watcher: AIOKafkaConsumer, topic: str) -> int:
    """How many records the topic ever took; with one replica, a record in it is acknowledged."""
    ends = await watcher.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
    return sum(ends.values())
