"""Three Kafka nodes of a test's own, to kill and to start again."""

import asyncio
import os
import random
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[3]
SCRIPT: Final = ROOT / "scripts" / "kafka_local.py"
NODES: Final = 3
QUICK_START: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@dataclass(frozen=True)
class KafkaCluster:
    """Run by `scripts/kafka_local.py` in a folder of its own."""

    folder: Path
    port: int

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{self.port + 2 * n}" for n in range(NODES))

    async def up(self) -> None:
        """Start the nodes that do not run and wait until all answer."""
        await self._run("up", "--nodes", str(NODES), "--port", str(self.port))

    async def kill(self, *nodes: int) -> None:
        """SIGKILL nodes, numbered from 1."""
        for node in nodes:
            await self._run("kill", str(node))

    async def down(self) -> None:
        """Stop every node at once and forget its data."""
        for node in range(1, NODES + 1):
            await self._run("kill", str(node), check=False)
        await self._run("down", "--purge")

    async def _run(self, *command: str, check: bool = True) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            *command,
            "--dir",
            str(self.folder),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"JAVA_TOOL_OPTIONS": QUICK_START},
        )
        output, _ = await process.communicate()
        assert process.returncode == 0 or not check, output.decode(errors="replace")


def new_cluster(folder: Path) -> KafkaCluster:
    """A cluster that does not run yet. It borrows the jars of the project's own folder where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for jars in (ROOT / ".kafka").glob("libs-*"):
        (folder / jars.name).symlink_to(jars)
    return KafkaCluster(folder, _free_ports(2 * NODES))


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    while True:
        first = random.randrange(20_000, 32_000)
        if all(_is_free(first + n) for n in range(count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
