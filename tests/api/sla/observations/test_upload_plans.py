"""An upload looks each row up by its key, whatever the statistics of the table say."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text

from services.sla.observations.service import intake
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.postgres import PostgresServer
from tests.support.sla import register_sla

STORED, BATCH = 20_000, 500
FILL = text(
    """
    INSERT INTO observation
    SELECT s.id, 'fill', n::text, 1, 'probe', 'payroll', timestamptz '2026-10-01T00:00Z' + n * interval '1 minute',
           NULL, 1, true, '{}', '[]', false, md5(n::text), now(), s.id,
           s.charter_id, s.customer_org_id, s.provider_org_id, 'shared'
      FROM sla s, generate_series(CAST(:first AS integer), CAST(:last AS integer)) n WHERE s.id = :sla_id
    """
)


@pytest.fixture
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as started:
        yield started


async def fill(service: RunningService, sla_id: str, first: int, last: int) -> None:
    async with service.kernel.database.system() as session:
        await session.execute(FILL, {"sla_id": sla_id, "first": first, "last": last})


async def as_owner(service: RunningService, postgres: PostgresServer, statement: str) -> None:
    database = service.kernel.database.engine.url.database
    assert database is not None
    admin = await asyncpg.connect(postgres.url(database))
    await admin.execute(statement)
    await admin.close()


def batch_of(service: RunningService, sla_id: str, first: int) -> dict[str, Any]:
    """The parameters of a batch of checks, numbered from `first`."""
    cells: dict[str, object] = {
        "source": "fill",
        "version": 1,
        "kind": "probe",
        "service": "payroll",
        "occurred_at": service.clock(),
        "ended_at": None,
        "value": None,
        "good": True,
        "attributes": "{}",
        "pauses": "[]",
        "deleted": False,
        "fingerprint": "x",
    }
    scope = service.world.scope
    return {name: [value] * BATCH for name, value in cells.items()} | {
        "source_id": [str(n) for n in range(first, first + BATCH)],
        "sla_id": UUID(sla_id),
        "now": service.clock(),
        "member": service.world.member("provider.om_team"),
        "charter": scope.charter_id,
        "customer": scope.customer_org_id,
        "provider": scope.provider_org_id,
        "visibility": "shared",
    }


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def visited(node: dict[str, Any]) -> int:
    """Rows that a scan looked at, those it threw away among them."""
    removed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


@pytest.mark.parametrize("analyzed", ["never", "when it was small", "as it is"])
@pytest.mark.parametrize("first", [STORED + 1, 1], ids=["new rows", "known rows"])
async def test_a_batch_visits_no_more_rows_than_it_has(service, postgres, analyzed, first):
    await as_owner(service, postgres, "ALTER TABLE sla.observation SET (autovacuum_enabled = off)")
    old, sla_id = [(await register_sla(service))["id"] for _ in range(2)]
    await fill(service, old, 1, 93)
    if analyzed == "when it was small":
        await as_owner(service, postgres, "ANALYZE sla.observation")
    await fill(service, sla_id, 1, STORED)
    if analyzed == "as it is":
        await as_owner(service, postgres, "ANALYZE sla.observation")

    async with service.kernel.database.system() as session:
        await session.execute(intake._PLAN_EACH_BATCH)
        explained = await session.scalar(
            text(f"EXPLAIN (ANALYZE, FORMAT JSON) {intake._INSERT.text}"), batch_of(service, sla_id, first)
        )
        await session.rollback()

    [plan] = json.loads(explained) if isinstance(explained, str) else explained
    scans = [
        node
        for node in nodes(plan["Plan"])
        if "Scan" in node["Node Type"] and node.get("Relation Name") == "observation"
    ]
    assert scans
    assert {node.get("Index Name") for node in scans} == {"pk_observation"}
    assert [visited(node) for node in scans if visited(node) > BATCH] == []
