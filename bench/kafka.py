"""The relay against Kafka's own producer benchmark, on one real broker."""

import asyncio
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import uvloop

from bench.api import submit
from bench.figures import Figure, Options, Result, Sample, Side, Skipped, Step, interleave
from bench.stage import ROOT, Stage, free_port, stage
from shared.contracts import TOPICS
from shared.data import migrations
from shared.messaging.kafka.bus import PARTITIONS, KafkaBus, ensure_topics
from shared.messaging.relay import Relay

EVENTS = 20_000
RECORDS = 200_000
PEER_TOPIC = "producer-performance"
DRAIN_SECONDS = 60
LOOK_SECONDS = 0.02
FOLDER = ROOT / ".cache" / "bench-kafka"
TITLE = "Relay from the outbox to Kafka vs kafka-producer-perf-test"

# Copies of one real event under fresh ids, spread over all shards.
FILL = """
    WITH archived AS (
      INSERT INTO changes.event (event_id, topic, source, event_type, aggregate_type, aggregate_id, aggregate_version,
                                 at, charter_id, customer_org_id, provider_org_id, visibility, traceparent, payload)
      SELECT gen_random_uuid(), topic, source, event_type, aggregate_type, gen_random_uuid(), 1,
             at, charter_id, customer_org_id, provider_org_id, visibility, traceparent, payload
        FROM bench_event, generate_series(1, $1) RETURNING position)
    INSERT INTO changes.outbox (shard, position) SELECT position % 16, position FROM archived
"""

NOTE = "broker, database and relay share two cores"


class NoKafka(Exception):
    """No broker could be started; the message is the reason."""


def relays(options: Options, step: Step) -> list[Result]:
    """Drain committed outbox rows to a broker; fill the same broker with the reference producer."""
    step("starting Kafka")
    try:
        with broker() as bootstrap, stage("changes") as on:
            return [_measure(options, step, on, bootstrap)]
    except NoKafka as reason:
        return [Skipped("relay_vs_perf_test", TITLE, f"skipped: {reason}")]


def _measure(options: Options, step: Step, on: Stage, bootstrap: str) -> Figure:
    size, _ = one_event(on, bootstrap)
    url = on.ready.url(migrations.runtime_role("changes"))
    candidates = {
        "relay": lambda: uvloop.run(drain(on.admin_url, url, bootstrap)),
        "perf-test": lambda: _perf_test(bootstrap, size),
    }
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # fresh topics have no leader for a moment
    step("warming up the broker")
    candidates["relay"]()
    runs = interleave(candidates, options, step)
    ours_did = Side(
        f"{EVENTS} committed outbox rows of {size} bytes over 16 shards, read, sent with acks=all and "
        "idempotence, taken off the queue in durable PostgreSQL; one relay",
        "events/s",
        runs["relay"],
    )
    peer_did = Side(
        f"ProducerPerformance of Kafka's tools: {RECORDS} random records of the same size from memory, acks=all",
        "records/s",
        runs["perf-test"],
    )
    return Figure("relay_vs_perf_test", TITLE, ours_did, peer_did, aim=0.4, note=NOTE)


def one_event(on: Stage, bootstrap: str) -> tuple[int, str]:
    """Keep one real event for `FILL` to copy and create the topics; returns its payload's bytes and its topic."""
    with on.service("changes") as ours:
        submit(on, ours, 1)
    on.execute("CREATE TABLE bench_event AS SELECT * FROM changes.event ORDER BY position DESC LIMIT 1")
    [event] = on.fetch("SELECT octet_length(payload) AS bytes, topic FROM bench_event")
    asyncio.run(ensure_topics(bootstrap, [*TOPICS, PEER_TOPIC], partitions=PARTITIONS, replication=1))
    return event["bytes"], event["topic"]


async def drain(admin_url: str, url: str, bootstrap: str) -> Sample:
    """Let a relay publish `EVENTS` fresh rows. `client_cpu_us` is its process's CPU time for each."""
    admin = await asyncpg.connect(admin_url)
    await admin.execute("TRUNCATE changes.outbox")
    await admin.execute(FILL, EVENTS)
    await admin.execute("ANALYZE changes.outbox, changes.event")
    relay = Relay(url, KafkaBus(bootstrap), service="changes", schema="changes")
    cpu = time.process_time()
    started = time.monotonic()
    running = asyncio.create_task(relay.run())
    deadline = started + DRAIN_SECONDS
    while await admin.fetchval("SELECT EXISTS (SELECT FROM changes.outbox)"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the relay did not publish {EVENTS} events within {DRAIN_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)
    spent = time.monotonic() - started
    await relay.stop()
    await running
    cpu = time.process_time() - cpu
    await admin.close()
    return Sample(EVENTS / spent, {"seconds": spent, "client_cpu_us": cpu / EVENTS * 1e6})


def _perf_test(bootstrap: str, size: int) -> Sample:
    tool = ["java", "-cp", f"{jars()}/*", "org.apache.kafka.tools.ProducerPerformance"]
    what = ["--topic", PEER_TOPIC, "--num-records", str(RECORDS), "--record-size", str(size)]
    how = ["--throughput", "-1", "--producer-props", f"bootstrap.servers={bootstrap}", "acks=all"]
    done = subprocess.run([*tool, *what, *how], capture_output=True, text=True, check=True)  # noqa: S603
    rates = re.findall(r"([\d.]+) records/sec", done.stdout)
    return Sample(float(rates[-1]))


def jars() -> Path:
    """Where the running broker's jars are: the user's own Kafka, else what the script fetched."""
    home = os.environ.get("KAFKA_HOME")
    if home:
        return Path(home) / "libs"
    [libs] = FOLDER.glob("libs-*")
    return libs


@contextmanager
def broker() -> Iterator[str]:
    """A private one-node Kafka; yields its bootstrap address."""
    port = free_port()
    script = [sys.executable, str(Path("scripts/kafka_local.py"))]
    where = ["--dir", str(FOLDER)]
    _run([*script, "down", "--purge", *where])
    up = _run([*script, "up", "--nodes", "1", "--port", str(port), *where])
    try:
        if up.returncode:
            raise NoKafka((up.stderr.strip().splitlines() or ["Kafka did not start"])[-1])
        yield up.stdout.split()[-1]
    finally:
        _run([*script, "down", "--purge", *where])


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603
