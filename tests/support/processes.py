"""The stack of docker-compose.yml as processes on this machine: same commands, same environment, no Docker."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from shared.contracts import TOPICS
from tests.support.compose import ROOT, ComposeService, compose_services, in_start_order, variables
from tests.support.harness import PASSWORD
from tests.support.patience import PATIENCE, Patience, until
from tests.support.postgres import PostgresServer

LAUNCHER = (sys.executable, str(ROOT / "deploy" / "concordat"))
THEIRS = ("postgres", "kafka", "gateway")
CONTAINER_PORT = "8000"


class Process:
    """One process of the project; whatever it says is kept in `log`."""

    def __init__(
        self, name: str, command: tuple[str, ...], environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                command, env={**inherited, **environment}, stdout=output, stderr=output, cwd=log.parent
            )

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    async def ended(self) -> int:
        """The exit code; `TimeoutError` when it never ends."""
        await until(lambda: not self.is_running, pause=0.05)
        return int(self._popen.returncode)

    async def terminate(self) -> int:
        """Ask it to end (SIGTERM), as `docker compose stop` does; its exit code."""
        self._popen.terminate()
        return await self.ended()

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()

    def last_lines(self, lines: int = 30) -> str:
        """The end of its log."""
        return f"{self.name}:\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@dataclass
class Stack:
    """The running stack. Other keys than the services': `identity-provider`, `webhook-sink`."""

    logs: Path
    database_url: str
    ports: Mapping[str, int]
    services: Mapping[str, ComposeService]
    processes: dict[str, Process] = field(default_factory=dict)

    def base_url(self, service: str) -> str:
        """Where a service answers, for example `base_url("charter") + "/charter/v1/me"`."""
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def issuer(self) -> str:
        return self.base_url("identity-provider")

    @property
    def sink_url(self) -> str:
        return self.base_url("webhook-sink")

    def token(self, subject: str) -> str:
        """A bearer token of the identity provider; `sysadmin` administers the platform."""
        answer = httpx.post(f"{self.issuer}/token", data={"subject": subject}, trust_env=False)
        return str(answer.raise_for_status().json()["access_token"])

    def headers(self, subject: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(subject)}"}

    def start(self, service: str) -> Process:
        """Start a service, or start it again after it ended."""
        described = self.services[service]
        log = self.logs / f"{service}-{len(list(self.logs.glob(f'{service}-*')))}.log"
        self.processes[service] = Process(
            service, (*LAUNCHER, *described.command), described.environment, log
        )
        return self.processes[service]

    async def run_once(self, service: str) -> None:
        """Run a one-shot service to its end; fails the test when it fails."""
        process = self.start(service)
        code = await process.ended()
        assert code == 0, process.last_lines()

    async def healthy(self, service: str) -> None:
        """Wait for the service's own health check to pass."""
        process, check = self.processes[service], _as_python(self.services[service].health)
        patience = Patience()
        while await _exit_code(check) != 0:
            assert process.is_running, process.last_lines()
            assert patience.is_left, f"not healthy in time\n{process.last_lines()}"
            await asyncio.sleep(0.5)

    async def stop(self, *services: str) -> dict[str, int]:
        """Ask the services (all that run, when none is named) to end, and wait for it."""
        names = services or tuple(name for name, process in self.processes.items() if process.is_running)
        ended = await asyncio.gather(*(self.processes[name].terminate() for name in names))
        return dict(zip(names, ended, strict=True))

    def kill(self) -> None:
        for process in self.processes.values():
            process.kill()


def kafka_bootstrap() -> str:
    """The broker of KAFKA_BOOTSTRAP; skips without one, fails when CI_REQUIRE_KAFKA demands it."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        return given
    missing = "KAFKA_BOOTSTRAP is not set: start a broker with scripts/kafka_local.py up"
    if os.environ.get("CI_REQUIRE_KAFKA"):
        pytest.fail(missing)
    pytest.skip(missing)


@asynccontextmanager
async def compose_stack(server: PostgresServer, bootstrap: str, folder: Path) -> AsyncIterator[Stack]:
    """The whole stack on a database of its own, healthy. Empties Concordat's topics on the broker first."""
    await forget_topics(bootstrap)
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    async with server.database("compose") as url:
        ours = {name: s for name, s in _translatable().items() if s.is_ours}
        ports = dict(zip(ours, _free_ports(len(ours)), strict=True))
        translated = {name: _translated(s, ports, url, bootstrap) for name, s in ours.items()}
        stack = Stack(logs, url, ports, translated)
        try:
            await _start(stack)
            yield stack
        finally:
            stack.kill()


async def _start(stack: Stack) -> None:
    for service in in_start_order(stack.services):
        await asyncio.gather(*(_wait_for(stack, *needed) for needed in service.depends_on.items()))
        if service.runs_once:
            await stack.run_once(service.name)
        else:
            stack.start(service.name)
    await asyncio.gather(*(stack.healthy(name) for name, s in stack.services.items() if s.health))


async def _wait_for(stack: Stack, service: str, condition: str) -> None:
    if condition == "service_healthy":
        await stack.healthy(service)


def _translatable() -> dict[str, ComposeService]:
    # The test server's roles belong to every suite that runs on it, so their passwords stay what they are.
    passwords = {name: PASSWORD for name in variables() if name.endswith("_PASSWORD")}
    services = compose_services(passwords)
    return {
        name: replace(s, depends_on={n: how for n, how in s.depends_on.items() if n not in THEIRS})
        for name, s in services.items()
    }


def _translated(
    service: ComposeService, ports: Mapping[str, int], database_url: str, bootstrap: str
) -> ComposeService:
    """The service with addresses of this machine in place of the names that Docker would resolve."""
    parts = urlsplit(database_url)
    address = f"@{parts.hostname}:{parts.port}{parts.path}"
    own = str(ports[service.name])

    def local(text: str) -> str:
        text = text.replace("@postgres:5432/concordat", address).replace("kafka:9092", bootstrap)
        for name, port in ports.items():
            text = text.replace(f"{name}:{CONTAINER_PORT}", f"127.0.0.1:{port}")
        return re.sub(r"^webhook-sink$", "127.0.0.1", text)

    environment = {name: local(value) for name, value in service.environment.items()}
    if "CONCORDAT_ADMIN_URL" in environment:
        environment["CONCORDAT_ADMIN_URL"] = database_url
    if "NOTIFIER_ALLOWED_PORTS" in environment:
        environment["NOTIFIER_ALLOWED_PORTS"] = _port_list(environment, ports["webhook-sink"])
    return replace(
        service,
        environment=environment,
        command=tuple({"0.0.0.0": "127.0.0.1", CONTAINER_PORT: own}.get(w, w) for w in service.command),
        health=tuple(w.replace(f"127.0.0.1:{CONTAINER_PORT}", f"127.0.0.1:{own}") for w in service.health),
    )


def _port_list(environment: Mapping[str, str], sink: int) -> str:
    ports = environment["NOTIFIER_ALLOWED_PORTS"].split(",")
    return ",".join(str(sink) if port == CONTAINER_PORT else port for port in ports)


def _as_python(check: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sys.executable if word == "python" else word for word in check)


async def _exit_code(command: tuple[str, ...]) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [int(opened.getsockname()[1]) for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


async def forget_topics(bootstrap: str) -> None:
    """Remove what earlier tests left on the broker; the group offsets go with the topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        if left := set(TOPICS) & set(await admin.list_topics()):
            await admin.delete_topics(sorted(left))
        async with asyncio.timeout(PATIENCE):
            while set(TOPICS) & set(await admin.list_topics()):
                await asyncio.sleep(0.2)
    finally:
        await admin.close()
