"""Queued deliveries drained by our worker and by a bare loop; what the whole way from event to webhook costs in CPU."""

import asyncio
import base64
import hmac
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import httpx
import psutil  # type: ignore[import-untyped]
import uvloop

from bench.figures import Figure, Options, Result, Sample, Side, Step, interleave
from bench.stage import Stage, serving, stage
from bench.webhooks import Target, embedded_mode
from services.notifier.deliveries.service.worker import DeliveryWorker
from services.notifier.settings import Settings
from services.notifier.tools import Tools
from shared.contracts.base import Scope
from shared.contracts.changes import EscalationRaised
from shared.contracts.governance import Severity
from shared.data import migrations
from shared.data.history import Act, record
from shared.data.ids import uuid7
from shared.data.session import Database
from shared.runtime.clock import system_clock
from shared.web.authz import NOBODY, SYSTEM

DELIVERIES = 2_000
EVENTS = 500
IN_FLIGHT = 4
BATCH = 64
DRAIN_SECONDS = 120
ENDPOINTS = "/notifier/v1/endpoints"

EMPTY = "TRUNCATE notifier.delivery_attempt, notifier.delivery"
FILL = """
    INSERT INTO notifier.delivery (id, version, created_at, updated_at, org_id, endpoint_id, event_id, event_type,
                                   content_type, body, is_test, state, attempt, round_start, next_attempt_at)
    SELECT gen_random_uuid(), 1, now(), now(), org_id, id, gen_random_uuid(), $1, 'application/cloudevents+json',
           $2, false, 'pending', 0, 0, now() - n * interval '1 millisecond'
      FROM notifier.endpoint, generate_series(1, $3) AS n
"""
TOOK = "SELECT extract(epoch FROM max(done_at) - $1::timestamptz)::float8 FROM notifier.delivery"
LEFT = "SELECT count(*) FROM notifier.delivery WHERE state <> 'done'"
DUE = """
    SELECT d.id, d.body, d.content_type, e.url
      FROM notifier.delivery d JOIN notifier.endpoint e ON e.id = d.endpoint_id
     WHERE d.state = 'pending' AND d.next_attempt_at <= now()
     ORDER BY d.next_attempt_at LIMIT $1
"""
DONE = "UPDATE notifier.delivery SET state = 'done', done_at = clock_timestamp() WHERE id = ANY($1)"


def drains(options: Options, step: Step) -> list[Result]:
    """Fill the table, drain it by our worker; fill it again, drain it by the peer."""
    with stage("notifier") as on, hook() as url:
        secret = _register(on, url)
        candidates = {
            "worker": lambda: uvloop.run(_drained(on, _worker)),
            "bare loop": lambda: uvloop.run(_drained(on, lambda on: _bare_loop(on, secret))),
        }
        step("warming up")
        candidates["worker"]()
        runs = interleave(candidates, options, step)
    ours = Side(
        f"{DELIVERIES} due deliveries to one endpoint with the default of {IN_FLIGHT} in flight: leases, vetted "
        "addresses, signatures, the log of attempts, the endpoint's health",
        "deliveries/s",
        runs["worker"],
    )
    peer = Side(
        f"a bare asyncpg and aiohttp loop in Python: {BATCH} rows read, signed, posted with {IN_FLIGHT} in flight, "
        "marked as done in one UPDATE",
        "deliveries/s",
        runs["bare loop"],
    )
    return [Figure("deliveries_vs_bare_loop", "Queued deliveries vs a bare loop", ours, peer, aim=0.4)]


@contextmanager
def hook() -> Iterator[str]:
    """A receiver in a process of its own; yields its address."""
    with serving(["-m", "bench.receiver"], {}, "/") as server:
        yield f"{server.url}/hook"


def _register(on: Stage, url: str) -> str:
    settings = {"NOTIFIER_SECRET_KEY": on.ready.notifier_key, "NOTIFIER_ALLOWED_NETWORKS": "127.0.0.0/8"}
    settings |= {"NOTIFIER_ALLOWED_PORTS": "1-65535"}
    with on.service("notifier", settings=settings) as ours:
        form = {"name": "Receiver", "url": url}
        made = httpx.post(f"{ours.url}{ENDPOINTS}", json=form, headers=on.headers("customer.org_admin"))
    made.raise_for_status()
    return str(made.json()["signing_secret"])


async def _drained(on: Stage, drain: Any) -> Sample:
    admin = await asyncpg.connect(on.admin_url)
    await admin.execute(EMPTY)
    await admin.execute(FILL, EscalationRaised.TYPE, '{"data":"' + "x" * 1000 + '"}', DELIVERIES)
    await admin.execute("ANALYZE notifier.delivery")
    started, cpu = time.perf_counter(), time.process_time()
    begun = await admin.fetchval("SELECT clock_timestamp()")
    running = asyncio.create_task(drain(on))
    while await admin.fetchval(LEFT):
        if running.done():
            running.result()
        if time.perf_counter() - started > DRAIN_SECONDS:
            raise RuntimeError(f"{await admin.fetchval(LEFT)} deliveries were left after {DRAIN_SECONDS} s")
        await asyncio.sleep(0.1)
    cpu = time.process_time() - cpu
    took = float(await admin.fetchval(TOOK, begun))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await admin.close()
    return Sample(DELIVERIES / took, {"seconds": took, "client_cpu_us": cpu / DELIVERIES * 1e6})


async def _worker(on: Stage) -> None:
    settings = on.ready.settings("notifier")
    assert isinstance(settings, Settings)
    settings = settings.model_copy(update={"allowed_ports": ("1-65535",)})
    database = Database(on.ready.url(migrations.runtime_role("notifier")), "notifier")
    try:
        await DeliveryWorker(database, Tools(settings, settings.vault(), system_clock)).run()
    finally:
        await database.close()


async def _bare_loop(on: Stage, secret: str) -> None:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    database = await asyncpg.connect(on.admin_url)
    gate = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession() as http:

        async def post(row: Any) -> UUID | None:
            name, at, body = f"msg_{row['id'].hex}", str(int(time.time())), row["body"].encode()
            digest = hmac.digest(key, f"{name}.{at}.".encode() + body, "sha256")
            headers = {"webhook-id": name, "webhook-timestamp": at, "content-type": row["content_type"]}
            headers["webhook-signature"] = "v1," + base64.b64encode(digest).decode()
            async with gate, http.post(row["url"], data=body, headers=headers) as answer:
                await answer.read()
                return row["id"] if answer.ok else None

        while rows := await database.fetch(DUE, BATCH):
            sent = await asyncio.gather(*(post(row) for row in rows))
            await database.execute(DONE, [each for each in sent if each])
    await database.close()


@dataclass
class Subject:
    """What `record` needs of a row: a change request that exists only in its event."""

    scope: Scope
    id: UUID = field(default_factory=uuid7)
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    owner: UUID = NOBODY
    aggregate: str = EscalationRaised.AGGREGATE


def costs(options: Options, step: Step) -> list[Result]:
    """Write escalations into the outbox of `changes` and count the CPU time until their webhooks have arrived."""
    with embedded_mode() as target, hook() as url:
        _listen(target, url)
        step("warming up")
        asyncio.run(_cost(target))
        runs = interleave({"webhooks": lambda: asyncio.run(_cost(target))}, options, step)
    ours = Side(
        f"{EVENTS} escalations written to the outbox at once; CPU time of the embedded mode, one process, for each: relay, "
        "PostgreSQL log, two alerts (one per party), one signed webhook and its log; what it uses when idle is taken off",
        "ms",
        runs["webhooks"],
    )
    title = "CPU time from an event to its webhook"
    return [Figure("event_to_webhook_cpu_ms", title, ours, aim=4.5, smaller_is_better=True)]


def _listen(target: Target, url: str) -> None:
    form = {"name": "Receiver", "url": url, "event_types": [EscalationRaised.TYPE]}
    headers = target.headers("provider.org_admin")
    httpx.post(target.url(ENDPOINTS), json=form, headers=headers).raise_for_status()


async def _cost(target: Target) -> Sample:
    admin = await asyncpg.connect(target.ready.admin_url)
    before = await admin.fetchval("SELECT count(*) FROM notifier.delivery WHERE state = 'done'")
    idle = await _idle(target.pid)
    started, cpu = time.perf_counter(), _cpu(target.pid)
    await _write(target)
    while (
        await admin.fetchval("SELECT count(*) FROM notifier.delivery WHERE state = 'done'") < before + EVENTS
    ):
        if time.perf_counter() - started > DRAIN_SECONDS:
            raise RuntimeError(f"not every webhook arrived within {DRAIN_SECONDS} s")
        await asyncio.sleep(0.1)
    took, spent = time.perf_counter() - started, _cpu(target.pid) - cpu
    await admin.close()
    return Sample(
        (spent - idle * took) / EVENTS * 1000,
        {"seconds": took, "idle": idle, "gross_ms": spent / EVENTS * 1000},
    )


async def _write(target: Target) -> None:
    database = Database(target.ready.url(migrations.runtime_role("changes")), "changes", pool_size=1)
    async with database.system() as session:
        for scope in _scopes(target):
            escalation: Any = Subject(scope)
            await record(
                session,
                escalation,
                Act("bench.escalate", _raised(escalation.id)),
                by=SYSTEM,
                now=datetime.now(UTC),
            )
    await database.close()


def _scopes(target: Target) -> Sequence[Scope]:
    orgs = target.world.orgs
    parties = {"customer_org_id": orgs["customer"], "provider_org_id": orgs["provider"]}
    return [Scope(charter_id=target.charters[n % len(target.charters)], **parties) for n in range(EVENTS)]


def _raised(escalation_id: UUID) -> EscalationRaised:
    return EscalationRaised(
        escalation_id=escalation_id,
        subject_kind="change_request",
        subject_id=uuid7(),
        subject_number="CR-FY27-0001",
        title="Replace the gateway of the payroll interface",
        from_body="jowg",
        to_body="smb",
        cause="clock",
        reason_code="clock_ran_out",
        severity=Severity.high,
        clock_ends_at=datetime.now(UTC),
    )


async def _idle(pid: int) -> float:
    """The share of a core it uses with nothing to do."""
    cpu = _cpu(pid)
    await asyncio.sleep(2)
    return (_cpu(pid) - cpu) / 2


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
