"""From the commit of an event to its webhook at the receiver, on the PostgreSQL log and on Kafka."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.api import PATH, form
from bench.figures import Figure, Options, Result, Sample, Side, Skipped, Step, interleave
from bench.kafka import NoKafka, broker
from bench.stage import ROOT, free_port, new_charters, seed, stage, until_ready
from concordat.embedded import server as embedded
from shared.contracts import TOPICS
from shared.contracts.changes import EscalationRaised
from shared.messaging.kafka.bus import PARTITIONS, ensure_topics
from tests.support.world import World

ESCALATIONS_A_SECOND = 25
SERVICES = ("changes", "notifier")
TITLE = "Commit to webhook, p99 at 50 events/s"
KAFKA_HOW = "changes and notifier as two processes on a one-node Apache Kafka: relay, broker, alert, delivery"
PATIENCE_SECONDS = 20
NOTE = "the median is far below; the tail is what one Python process does in between: sealing, measuring, collecting garbage"
KAFKA_NOTE = "two processes, and the producer and the consumer of each wait for the broker; same tail"
REASON = {"reason_code": "blocked", "what_was_tried": "The board did not meet."}


@dataclass(frozen=True)
class Target:
    """A running platform: its database, where each service listens, its seed, and its process if it is one."""

    ready: embedded.Platform
    urls: Mapping[str, str]
    world: World
    charters: Sequence[UUID]
    pid: int = 0

    def headers(self, member: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.ready.issuer.token(member, datetime.now(UTC))}"}

    def url(self, path: str) -> str:
        return self.urls[path.split("/")[1]] + path


def deliveries(options: Options, step: Step) -> list[Result]:
    """Escalate change requests at a steady pace and time each webhook, on each bus."""
    on_log = _figure(
        options,
        step,
        embedded_mode(),
        "event_to_webhook_p99_ms",
        "the embedded mode, one process: relay, PostgreSQL log, alert, delivery",
        NOTE,
    )
    name = "event_to_webhook_kafka_p99_ms"
    try:
        return [on_log, _figure(options, step, two_services(step), name, KAFKA_HOW, KAFKA_NOTE)]
    except NoKafka as reason:
        return [on_log, Skipped(name, TITLE, f"skipped: {reason}")]


def _figure(
    options: Options, step: Step, target: AbstractContextManager[Target], name: str, how: str, note: str
) -> Figure:
    with target as on:
        step(f"{name}: warming up")
        asyncio.run(_run(on, options.seconds, first=True))
        runs = interleave({name: lambda: asyncio.run(_run(on, options.seconds))}, options, step)
    ours = Side(
        f"{ESCALATIONS_A_SECOND} escalations/s through the API, two events each; p99 from the outbox row of "
        f"escalation.raised to its signed webhook at the receiver; {how}",
        "ms",
        runs[name],
    )
    return Figure(name, TITLE, ours, aim=100, smaller_is_better=True, note=note)


@contextmanager
def embedded_mode() -> Iterator[Target]:
    """The embedded mode on a seeded database: everything in one process, as a newcomer runs it."""
    port, world = free_port(), World()
    url = f"http://127.0.0.1:{port}"
    with (
        tempfile.TemporaryDirectory(prefix="concordat-bench-") as folder,
        embedded.platform(Path(folder), None, url) as ready,
    ):
        charters = new_charters(world)
        for service in SERVICES:
            asyncio.run(seed(ready, service, world, charters))
        options = ["--no-demo", "--port", str(port), "--data", folder]
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "concordat", "run", "embedded", *options],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        try:
            until_ready(process, f"{url}/notifier/readyz")
            yield Target(ready, dict.fromkeys(SERVICES, url), world, charters, process.pid)
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def two_services(step: Step) -> Iterator[Target]:
    """The change log and the notifier as processes of their own on a real broker, as production runs them."""
    step("starting Kafka")
    with broker() as bootstrap, stage("changes") as on, ExitStack() as running:
        asyncio.run(seed(on.ready, "notifier", on.world, on.charters))
        asyncio.run(ensure_topics(bootstrap, TOPICS, partitions=PARTITIONS, replication=1))
        settings = {
            "CONCORDAT_BUS": "kafka",
            "CONCORDAT_KAFKA_BOOTSTRAP": bootstrap,
            "NOTIFIER_SECRET_KEY": on.ready.notifier_key,
            "NOTIFIER_ALLOWED_NETWORKS": "127.0.0.0/8",
            "NOTIFIER_ALLOWED_PORTS": "1-65535",
        }
        urls = {
            service: running.enter_context(on.service(service, background=True, settings=settings)).url
            for service in SERVICES
        }
        yield Target(on.ready, urls, on.world, on.charters)


async def _run(on: Target, seconds: float, *, first: bool = False) -> Sample:
    received: dict[UUID, float] = {}
    async with receiver(received) as hook, httpx.AsyncClient(timeout=30, trust_env=False) as client:
        if first:
            given = {"url": hook, "name": "Receiver", "event_types": [EscalationRaised.TYPE]}
            await _ok(client, on.url("/notifier/v1/endpoints"), given, on.headers("provider.org_admin"))
        as_member = on.headers("customer.business_owner")
        wanted = islice(cycle(on.charters), int(ESCALATIONS_A_SECOND * seconds))
        made = [await _ok(client, on.url(PATH), form(charter), as_member) for charter in wanted]
        received.clear()
        refused = await _escalate(client, on.url(PATH), made, as_member)
        sent = await _sent(on.ready.admin_url, [UUID(change["id"]) for change in made])
        deadline = time.time() + PATIENCE_SECONDS
        while not sent.keys() <= received.keys():
            if time.time() > deadline:
                raise RuntimeError(
                    f"{len(sent.keys() - received.keys())} of {len(sent)} webhooks did not arrive"
                )
            await asyncio.sleep(0.05)
    took = sorted((received[event] - at) * 1000 for event, at in sent.items())
    return Sample(
        took[len(took) * 99 // 100],
        {"p50_ms": took[len(took) // 2], "webhooks": len(took), "refused": refused},
    )


async def _escalate(
    client: httpx.AsyncClient, url: str, made: list[dict[str, str]], headers: dict[str, str]
) -> int:
    """One escalation every 40 ms, whether the last one was answered or not; how many were refused."""
    tasks, started = [], time.perf_counter()
    for number, change in enumerate(made):
        await asyncio.sleep(max(0.0, started + number / ESCALATIONS_A_SECOND - time.perf_counter()))
        path = f"{url}/{change['id']}/escalate"
        tagged = headers | {"If-Match": f'"{change["version"]}"'}
        tasks.append(asyncio.create_task(client.post(path, json=REASON, headers=tagged)))
    return sum(answer.is_error for answer in await asyncio.gather(*tasks))


async def _ok(client: httpx.AsyncClient, url: str, body: object, headers: dict[str, str]) -> dict[str, str]:
    answer = await client.post(url, json=body, headers=headers)
    if answer.is_error:
        raise RuntimeError(f"{url}: {answer.text}")
    document: dict[str, str] = answer.json()
    return document


async def _sent(admin_url: str, changes: list[UUID]) -> dict[UUID, float]:
    """When the outbox row of each escalation was written, just before its commit."""
    connection = await asyncpg.connect(admin_url)
    rows = await connection.fetch(
        """
        SELECT event_id, extract(epoch FROM written_at)::float8 AS at FROM changes.event
         WHERE event_type = $1 AND convert_from(payload, 'UTF8')::jsonb -> 'data' ->> 'subject_id' = ANY($2)
        """,
        EscalationRaised.TYPE,
        [str(change) for change in changes],
    )
    await connection.close()
    return {UUID(str(row["event_id"])): row["at"] for row in rows}


HOOK_PORT = free_port()


@asynccontextmanager
async def receiver(received: dict[UUID, float]) -> AsyncIterator[str]:
    """A system that takes webhooks and notes when each event came; yields its address."""

    async def take(request: Request) -> Response:
        received.setdefault(UUID(json.loads(await request.body())["id"]), time.time())
        return Response(status_code=204)

    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    config = uvicorn.Config(app, port=HOOK_PORT, lifespan="off", log_level="error", access_log=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{HOOK_PORT}/hook"
    finally:
        server.should_exit = True
        await serving
