"""A real Apache Kafka (KRaft) on this machine, without Docker: `up`, `down`, `kill N`, `status`.

Needs Java 17 or newer. The jars come from KAFKA_HOME/libs when that is set, else from Maven Central through
`mvn` (your own mirror settings apply). Where `mvn` or `java` is missing on a bare Debian machine and we are
root, the script installs them with apt-get; anywhere else it says what to install.
"""

import argparse
import asyncio
import base64
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

KAFKA = "4.3.1"
LOG4J = "2.25.5"
HOST = "127.0.0.1"
READY_SECONDS = 90
HEAP = ("-Xms128m", "-Xmx384m")

DEPENDENCIES = (
    ("org.apache.kafka", "kafka_2.13", KAFKA),
    ("org.apache.kafka", "kafka-tools", KAFKA),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", LOG4J),
)
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-home</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
{dependencies}
  </dependencies>
</project>
"""
DEPENDENCY = (
    "    <dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"
)


@dataclass(frozen=True)
class Cluster:
    """One to three combined nodes (broker and controller) below one folder."""

    folder: Path
    port: int
    size: int

    @property
    def nodes(self) -> list["Node"]:
        return [Node(self, number) for number in range(1, self.size + 1)]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    @property
    def voters(self) -> str:
        return ",".join(f"{node.number}@{HOST}:{node.port + 1}" for node in self.nodes)

    def id(self) -> str:
        """The cluster's id, made once: every node must be formatted with the same."""
        file = self.folder / "cluster-id"
        if not file.exists():
            file.write_text(
                base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "x")
            )
        return file.read_text()


@dataclass(frozen=True)
class Node:
    cluster: Cluster
    number: int

    @property
    def port(self) -> int:
        return self.cluster.port + 2 * (self.number - 1)

    @property
    def folder(self) -> Path:
        return self.cluster.folder / f"node-{self.number}"

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pidfile(self) -> Path:
        return self.folder / "pid"

    def process(self) -> psutil.Process | None:
        """The running broker. A process id that now belongs to another program does not count."""
        try:
            process = psutil.Process(int(self.pidfile.read_text()))
            return process if str(self.properties) in process.cmdline() else None
        except (FileNotFoundError, ValueError, psutil.Error):
            return None

    def start(self, libs: Path) -> None:
        for port in (self.port, self.port + 1):
            with socket.socket() as probe:
                if probe.connect_ex((HOST, port)) == 0:
                    sys.exit(f"port {port} is taken by another program; choose another with --port")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.properties.write_text("\n".join(settings(self)) + "\n")
        if not (self.folder / "data" / "meta.properties").exists():
            format_storage(self, libs)
        with self.log.open("ab") as log:
            broker = subprocess.Popen(
                java(libs, *HEAP, "-Dlog4j2.level=INFO", main=("kafka.Kafka", str(self.properties))),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pidfile.write_text(str(broker.pid))

    def end(self, *, politely: bool) -> bool:
        """Stop the broker, or kill it with SIGKILL. False when it was not running."""
        process = self.process()
        if process is None:
            return False
        process.send_signal(signal.SIGTERM if politely else signal.SIGKILL)
        try:
            process.wait(20)
        except psutil.TimeoutExpired:
            process.kill()
        self.pidfile.unlink(missing_ok=True)
        return True


def settings(node: Node) -> Iterator[str]:
    """The server.properties of a node: small, strict, and as durable as its cluster is large."""
    copies = min(3, node.cluster.size)
    listeners = f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.port + 1}"
    yield from (
        "process.roles=broker,controller",
        f"node.id={node.number}",
        f"controller.quorum.voters={node.cluster.voters}",
        f"listeners={listeners}",
        f"advertised.listeners=PLAINTEXT://{HOST}:{node.port}",
        "controller.listener.names=CONTROLLER",
        "inter.broker.listener.name=PLAINTEXT",
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        f"log.dirs={node.folder / 'data'}",
        "auto.create.topics.enable=false",
        "unclean.leader.election.enable=false",
        f"default.replication.factor={copies}",
        f"min.insync.replicas={max(1, copies - 1)}",
        f"offsets.topic.replication.factor={copies}",
        "offsets.topic.num.partitions=8",
        f"transaction.state.log.replication.factor={copies}",
        f"transaction.state.log.min.isr={max(1, copies - 1)}",
        "transaction.state.log.num.partitions=4",
        f"share.coordinator.state.topic.replication.factor={copies}",
        f"share.coordinator.state.topic.min.isr={max(1, copies - 1)}",
        "group.initial.rebalance.delay.ms=0",
        "num.partitions=12",
        "log.cleaner.dedupe.buffer.size=16777216",
    )


def java(libs: Path, *options: str, main: Sequence[str]) -> list[str]:
    return ["java", *options, "-cp", f"{libs}/*", *main]


def format_storage(node: Node, libs: Path) -> None:
    tool = ("kafka.tools.StorageTool", "format", "-t", node.cluster.id(), "-c", str(node.properties))
    done = subprocess.run(java(libs, main=tool), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"formatting node {node.number} failed:\n{done.stdout}{done.stderr}")


def jars(folder: Path) -> Path:
    """The folder with Kafka's jars: the user's own, those of an earlier run, or fresh from Maven Central."""
    require("java", "openjdk-17-jre-headless")
    home = os.environ.get("KAFKA_HOME")
    if home:
        libs = Path(home) / "libs"
        return libs if any(libs.glob("kafka_*.jar")) else sys.exit(f"there is no kafka_*.jar in {libs}")
    libs = folder / f"libs-{KAFKA}"
    if not libs.exists():
        require("mvn", "maven")
        fetch(folder, libs)
    return libs


def fetch(folder: Path, libs: Path) -> None:
    print(f"fetching Apache Kafka {KAFKA} with Maven (about 55 MB, once)", file=sys.stderr)
    pom, partial = folder / "pom.xml", folder / "libs-partial"
    pom.write_text(POM.format(dependencies="\n".join(DEPENDENCY.format(*item) for item in DEPENDENCIES)))
    copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    maven = subprocess.run(["mvn", "-q", "-B", "-f", str(pom), *copy], check=False, stdout=sys.stderr)
    if maven.returncode != 0:
        sys.exit("Maven could not resolve Kafka; set KAFKA_HOME to an unpacked Kafka release instead")
    partial.rename(libs)


def require(program: str, package: str) -> None:
    if shutil.which(program):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"{program} is missing: install {package} (Java 17 or newer), then try again")
    print(f"{program} is missing: installing {package} with apt-get", file=sys.stderr)
    subprocess.run(["apt-get", "update", "-qq"], check=False)
    if subprocess.run(["apt-get", "install", "-y", "-qq", package], check=False).returncode != 0:
        sys.exit(f"apt-get could not install {package}")


async def brokers(bootstrap: str) -> int:
    """How many brokers answer a metadata request; 0 while none does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        return len((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return 0
    finally:
        await admin.close()


def answering(cluster: Cluster) -> int:
    """How many nodes see the whole cluster. A node that lost the others would still count them, so each is asked."""
    return sum(asyncio.run(brokers(f"{HOST}:{node.port}")) == cluster.size for node in cluster.nodes)


def up(cluster: Cluster) -> None:
    """Start the nodes that do not run, then wait until the cluster answers with all of them."""
    cluster.folder.mkdir(parents=True, exist_ok=True)
    libs = jars(cluster.folder)
    for node in cluster.nodes:
        if node.process() is None:
            node.start(libs)
    deadline = time.monotonic() + READY_SECONDS
    while answering(cluster) < cluster.size:
        fallen = [node for node in cluster.nodes if node.process() is None]
        if fallen or time.monotonic() > deadline:
            sys.exit(give_up(fallen or cluster.nodes))
        time.sleep(0.5)
    print(cluster.bootstrap)


def give_up(nodes: Sequence[Node]) -> str:
    tails = ["\n".join(n.log.read_text(errors="replace").splitlines()[-20:]) for n in nodes]
    return "Kafka did not start:\n" + "\n".join(
        f"--- {node.log}\n{tail}" for node, tail in zip(nodes, tails, strict=True)
    )


def down(cluster: Cluster, *, purge: bool) -> None:
    for node in cluster.nodes:
        print(f"node {node.number}: {'stopped' if node.end(politely=True) else 'was not running'}")
    if purge:
        for node in cluster.nodes:
            shutil.rmtree(node.folder, ignore_errors=True)
        for name in ("cluster-id", "port"):
            (cluster.folder / name).unlink(missing_ok=True)


def kill(cluster: Cluster, number: int) -> None:
    if number > cluster.size:
        sys.exit(f"there is no node {number}")
    if not cluster.nodes[number - 1].end(politely=False):
        sys.exit(f"node {number} was not running")
    print(f"node {number}: killed")


def status(cluster: Cluster) -> None:
    """Exit code 0 only when every node runs and answers."""
    for node in cluster.nodes:
        process = node.process()
        print(f"node {node.number}: {f'running as {process.pid}' if process else 'down'}, port {node.port}")
    ready = answering(cluster)
    print(f"{ready} of {cluster.size} brokers answer at {cluster.bootstrap}")
    sys.exit(0 if ready == cluster.size else 1)


def main() -> None:
    options = arguments().parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = options.dir.absolute()
    cluster = Cluster(folder, known_port(folder, options.port), known_size(folder, options.nodes))
    match options.command:
        case "up":
            up(cluster)
        case "down":
            down(cluster, purge=options.purge)
        case "kill":
            kill(cluster, options.number)
        case "status":
            status(cluster)


def arguments() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dir", type=Path, default=Path(".kafka"), help="where jars, data and logs go (.kafka)"
    )
    common.add_argument("--nodes", type=int, choices=(1, 3), help="size of a new cluster (1)")
    common.add_argument("--port", type=int, help="first port of a new cluster; each node takes two (9092)")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", parents=[common], help="start what is not running, print the bootstrap address")
    end = commands.add_parser("down", parents=[common], help="stop all nodes")
    end.add_argument("--purge", action="store_true", help="and delete the data, not the jars")
    commands.add_parser("kill", parents=[common], help="kill -9 one node").add_argument("number", type=int)
    commands.add_parser("status", parents=[common], help="what runs and what answers")
    return parser


def known_size(folder: Path, wanted: int | None) -> int:
    """The size of the cluster that is already there, else the wanted one."""
    existing = len(list(folder.glob("node-*")))
    if existing and wanted not in (None, existing):
        sys.exit(f"{folder} holds a cluster of {existing}; `down --purge` first")
    return existing or wanted or 1


def known_port(folder: Path, wanted: int | None) -> int:
    file = folder / "port"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(str(wanted or 9092))
    return int(file.read_text())


if __name__ == "__main__":
    main()
