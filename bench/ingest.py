"""Observations over HTTP against COPY of the same rows into a table with the same indexes."""

import asyncio
import io
import itertools
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import orjson

from bench.figures import Figure, Options, Result, Sample, Side, Step, interleave
from bench.stage import Server, Stage, stage
from tests.support.sla import agreement_form, sla_form

ROWS = 20_000
ROWS_A_REQUEST = 5_000
NOTE = (
    "a row costs about 45 us of Python (reading 5, checking 11, canonical text and hash 11, the driver the rest); the "
    "database works meanwhile. Next: COPY into a staging table, and hashing in C"
)
START = datetime(2026, 10, 1, tzinfo=UTC)


def ingests(options: Options, step: Step) -> list[Result]:
    """Send rows as NDJSON, one request after the other; COPY the rows that made into a copy of the table."""
    with stage("sla") as on, ExitStack() as servers:
        ours = servers.enter_context(on.service("sla"))
        sla_id = registered(on, ours)
        on.execute("CREATE SCHEMA peer", "CREATE TABLE peer.observation (LIKE sla.observation INCLUDING ALL)")
        rounds = itertools.count()
        step("warming up")
        _send(on, ours, sla_id, next(rounds))
        text = asyncio.run(_copied_out(on.admin_url))
        candidates = {
            "ours": lambda: _send(on, ours, sla_id, next(rounds)),
            "copy": lambda: asyncio.run(_copy(on.admin_url, text)),
        }
        runs = interleave(candidates, options, step)
    ours_did = Side(
        f"{ROWS} observations as NDJSON in requests of {ROWS_A_REQUEST}, one client: token, policy, parsing and checking "
        "every row, fingerprint, duplicate and version detection, row-level security, audit; durable PostgreSQL",
        "rows/s",
        runs["ours"],
    )
    peer_did = Side(
        f"COPY of the same {ROWS} stored rows, as text, into an empty table with the same indexes",
        "rows/s",
        runs["copy"],
    )
    return [
        Figure("ingest_vs_copy", "Observations over HTTP vs COPY", ours_did, peer_did, aim=0.3, note=NOTE)
    ]


def registered(on: Stage, ours: Server) -> str:
    """An SLA to which observations belong."""
    with httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", trust_env=False) as client:
        agreement = agreement_form(on)  # type: ignore[arg-type]
        made = client.post("/sla/v1/agreements", json=agreement, headers=on.headers("customer.om_team"))
        form = sla_form(made.raise_for_status().json()["id"])
        answer = client.post("/sla/v1/slas", json=form, headers=on.headers("provider.om_team"))
    return str(answer.raise_for_status().json()["id"])


def _body(first: int) -> bytes:
    rows = (
        {
            "source": "status-page",
            "source_id": f"payroll-{number}",
            "kind": "probe",
            "service": "payroll",
            "occurred_at": START + timedelta(seconds=number % 2_600_000),
            "good": number % 200 != 0,
            "value": str(number % 900),
            "attributes": {"http_status": "200"},
        }
        for number in range(first, first + ROWS_A_REQUEST)
    )
    return b"\n".join(map(orjson.dumps, rows))


def _send(on: Stage, ours: Server, sla_id: str, number: int) -> Sample:
    bodies = [_body(number * ROWS + first) for first in range(0, ROWS, ROWS_A_REQUEST)]
    headers = on.headers("provider.om_team") | {"Content-Type": "application/x-ndjson"}
    path = f"/sla/v1/slas/{sla_id}/observations"
    with httpx.Client(base_url=f"http://127.0.0.1:{ours.port}", timeout=60, trust_env=False) as client:
        started = time.perf_counter()
        answers = [
            client.post(path, content=body, headers=headers).raise_for_status().json() for body in bodies
        ]
        spent = time.perf_counter() - started
    if sum(answer["accepted"] for answer in answers) != ROWS:
        raise RuntimeError(f"not every row was accepted: {answers[0]}")
    return Sample(ROWS / spent)


async def _copied_out(admin_url: str) -> bytes:
    """The rows our service stored, as COPY writes them."""
    connection: Any = await asyncpg.connect(admin_url)
    text = io.BytesIO()
    await connection.copy_from_table("observation", schema_name="sla", output=text)
    await connection.close()
    return text.getvalue()


async def _copy(admin_url: str, text: bytes) -> Sample:
    connection: Any = await asyncpg.connect(admin_url)
    await connection.execute("TRUNCATE peer.observation")
    started = time.perf_counter()
    await connection.copy_to_table("observation", schema_name="peer", source=io.BytesIO(text))
    spent = time.perf_counter() - started
    await connection.close()
    return Sample(ROWS / spent)
