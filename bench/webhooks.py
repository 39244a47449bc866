"""From the commit of an event to its webhook at the receiver, through the whole embedded mode."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
from bench.figures import Figure, Options, Result, Sample, Side, Step
from bench.stage import ROOT, free_port, new_charters, seed, until_ready
from services import embedded
from shared.contracts.changes import EscalationRaised
from tests.support.world import World

ESCALATIONS_A_SECOND = 25
PATIENCE_SECONDS = 20
NOTE = (
    "the pace is more than one process with four services keeps up with here, so a queue builds up; at a fifth of it "
    "about 300 ms remain, two thirds of them after the alert, where the sender polls every 200 ms; next: wake the sender "
    "after the commit, and apply several messages in one transaction"
)
REASON = {"reason_code": "blocked", "what_was_tried": "The board did not meet."}


def deliveries(options: Options, step: Step) -> list[Result]:
    """Escalate change requests at a steady pace and time each webhook."""
    runs = []
    with (
        tempfile.TemporaryDirectory(prefix="concordat-bench-") as folder,
        running(Path(folder)) as (on, url, charters),
    ):
        for number in range(1, options.runs + 1):
            step(f"run {number} of {options.runs}")
            runs.append(asyncio.run(_run(on, url, charters, options.seconds, number)))
    ours = Side(
        f"{ESCALATIONS_A_SECOND} escalations/s through the API of the embedded mode, two events each; p99 from the "
        "outbox row of escalation.raised to its signed webhook at the receiver: relay, PostgreSQL log, alert, delivery",
        "ms",
        runs,
    )
    title = "Commit to webhook, p99 at 50 events/s"
    return [Figure("event_to_webhook_p99_ms", title, ours, aim=100, smaller_is_better=True, note=NOTE)]


@contextmanager
def running(folder: Path) -> Iterator[tuple[embedded.Platform, str, list[UUID]]]:
    """The embedded mode on a seeded database: everything in one process, as a newcomer runs it."""
    port, world = free_port(), World()
    url = f"http://127.0.0.1:{port}"
    with embedded.platform(folder, None, url) as ready:
        charters = new_charters(world)
        for service in ("changes", "notifier"):
            asyncio.run(seed(ready, service, world, charters))
        command = [
            "-m",
            "services",
            "run",
            "embedded",
            "--no-demo",
            "--port",
            str(port),
            "--data",
            str(folder),
        ]
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        try:
            until_ready(process, f"{url}/notifier/readyz")
            yield ready, url, charters
        finally:
            process.terminate()
            process.wait(60)


async def _run(on: embedded.Platform, url: str, charters: list[UUID], seconds: float, number: int) -> Sample:
    received: dict[UUID, float] = {}

    def headers(member: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {on.issuer.token(member, datetime.now(UTC))}"}

    async with (
        receiver(received) as hook,
        httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
    ):
        if number == 1:
            given = {"url": hook, "name": "Receiver", "event_types": [EscalationRaised.TYPE]}
            await _ok(client, "/notifier/v1/endpoints", given, headers("provider.org_admin"))
        as_member = headers("customer.business_owner")
        wanted = islice(cycle(charters), int(ESCALATIONS_A_SECOND * seconds))
        made = [await _ok(client, PATH, form(charter), as_member) for charter in wanted]
        received.clear()
        refused = await _escalate(client, made, as_member)
        sent = await _sent(on.admin_url, [UUID(change["id"]) for change in made])
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


async def _escalate(client: httpx.AsyncClient, made: list[dict[str, str]], headers: dict[str, str]) -> int:
    """One escalation every 40 ms, whether the last one was answered or not; how many were refused."""
    tasks, started = [], time.perf_counter()
    for number, change in enumerate(made):
        await asyncio.sleep(max(0.0, started + number / ESCALATIONS_A_SECOND - time.perf_counter()))
        path = f"{PATH}/{change['id']}/escalate"
        tagged = headers | {"If-Match": f'"{change["version"]}"'}
        tasks.append(asyncio.create_task(client.post(path, json=REASON, headers=tagged)))
    return sum(answer.is_error for answer in await asyncio.gather(*tasks))


async def _ok(client: httpx.AsyncClient, path: str, body: object, headers: dict[str, str]) -> dict[str, str]:
    answer = await client.post(path, json=body, headers=headers)
    if answer.is_error:
        raise RuntimeError(f"{path}: {answer.text}")
    found: dict[str, str] = answer.json()
    return found


async def _sent(admin_url: str, changes: list[UUID]) -> dict[UUID, float]:
    """When the outbox row of each escalation was written, just before its commit."""
    connection = await asyncpg.connect(admin_url)
    rows = await connection.fetch(
        """
        SELECT event_id, extract(epoch FROM created_at)::float8 AS at FROM changes.outbox
         WHERE event_type = $1 AND payload::jsonb -> 'data' ->> 'subject_id' = ANY($2)
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
