"""Debezium's connector for PostgreSQL on a standalone Kafka Connect worker, as it would relay our outbox."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psutil  # type: ignore[import-untyped]

from bench.kafka import FOLDER, NoKafka, jars
from bench.stage import free_port

DEBEZIUM = "3.7.0.Final"
SLOT = "debezium_bench"
PUBLICATION = "debezium_bench"
STOP_SECONDS = 30
HEAP = ("-Xms512m", "-Xmx1g")
STRINGS = "org.apache.kafka.connect.storage.StringConverter"

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>debezium</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>io.debezium</groupId><artifactId>debezium-connector-postgres</artifactId><version>{}</version>
  </dependency></dependencies>
</project>
"""
# The producer is set as the relay's; Connect's own settings are slower.
WORKER: Mapping[str, str] = {
    "key.converter": STRINGS,
    "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
    "header.converter": STRINGS,
    "plugin.discovery": "service_load",
    "producer.acks": "all",
    "producer.enable.idempotence": "true",
    "producer.max.in.flight.requests.per.connection": "5",
    "producer.linger.ms": "5",
    "producer.batch.size": "131072",
}
# The outbox event router writes the record our relay writes: topic, key and value from the archive's columns, with
# one header for the type. Larger batches and fewer columns made it faster than its defaults.
CONNECTOR: Mapping[str, str] = {
    "name": "outbox",
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "tasks.max": "1",
    "plugin.name": "pgoutput",
    "topic.prefix": "bench",
    "table.include.list": "changes.event",
    "column.include.list": "changes.event.(position|event_id|topic|aggregate_id|event_type|payload)",
    "slot.name": SLOT,
    "publication.name": PUBLICATION,
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    "max.batch.size": "16384",
    "max.queue.size": "65536",
    "poll.interval.ms": "5",
    "extended.headers.enabled": "false",
    "transforms": "outbox",
    "transforms.outbox.type": "io.debezium.transforms.outbox.EventRouter",
    "transforms.outbox.table.field.event.id": "event_id",
    "transforms.outbox.table.field.event.key": "aggregate_id",
    "transforms.outbox.table.field.event.payload": "payload",
    "transforms.outbox.table.fields.additional.placement": "event_type:header",
    "transforms.outbox.route.by.field": "topic",
    "transforms.outbox.route.topic.replacement": "${routedByValue}",
}


@dataclass(frozen=True)
class Worker:
    """A running Connect worker with the one connector."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def check(self, deadline: float, fault: str) -> None:
        """Raise when the worker ended, or when `deadline` (monotonic seconds) has passed."""
        if self.process.poll() is not None or time.monotonic() > deadline:
            tail = self.log.read_text(errors="replace")[-800:]
            raise RuntimeError(f"Debezium {fault}: {tail}")

    def cpu_seconds(self) -> float:
        """CPU time of the Java machine so far, its compiler's included."""
        spent = psutil.Process(self.process.pid).cpu_times()
        return float(spent.user + spent.system)


@contextmanager
def connector(database_url: str, bootstrap: str) -> Iterator[Worker]:
    """A fresh worker, from its start (not yet streaming) to its end; the slot is the caller's to drop."""
    with tempfile.TemporaryDirectory(prefix="concordat-connect-") as name:
        folder = Path(name)
        log = folder / "log"
        command = _command(folder, database_url, bootstrap)
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)  # noqa: S603
        try:
            yield Worker(process, log)
        finally:
            _end(process)


def _command(folder: Path, database_url: str, bootstrap: str) -> list[str]:
    here = {
        "bootstrap.servers": bootstrap,
        "listeners": f"http://127.0.0.1:{free_port()}",
        "plugin.path": str(fetched()),
        "offset.storage.file.filename": str(folder / "offsets"),
    }
    files = [folder / "worker.properties", folder / "connector.properties"]
    for file, properties in zip(
        files, [{**WORKER, **here}, {**CONNECTOR, **_database(database_url)}], strict=True
    ):
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    main = "org.apache.kafka.connect.cli.ConnectStandalone"
    return ["java", *HEAP, "-Dlog4j2.level=WARN", "-cp", f"{jars()}/*", main, *map(str, files)]


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _database(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    return {
        "database.hostname": str(parts.hostname),
        "database.port": str(parts.port),
        "database.user": unquote(parts.username or ""),
        "database.password": unquote(parts.password or ""),
        "database.dbname": parts.path.lstrip("/"),
    }


def fetched() -> Path:
    """The plugin folder with Debezium's jars: those of an earlier run, or fresh from Maven Central."""
    plugins = FOLDER / f"debezium-{DEBEZIUM}"
    if plugins.exists():
        return plugins
    if not shutil.which("mvn"):
        raise NoKafka("Debezium's jars come with Maven, and mvn is missing")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        pom, partial = Path(name) / "pom.xml", Path(name) / "plugins"
        pom.write_text(POM.format(DEBEZIUM))
        where = ["-f", str(pom), f"-DoutputDirectory={partial / 'postgres'}"]
        copy = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", *where]
        if subprocess.run(copy, capture_output=True, check=False).returncode:  # noqa: S603
            raise NoKafka(f"Maven could not resolve Debezium {DEBEZIUM}")
        partial.rename(plugins)
    return plugins
