"""Many observations: read by key whatever the statistics say, streamed, and never on the event loop for long."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.metrics.domain.windows import Window
from services.sla.observations.domain.observation import fingerprint, in_time
from services.sla.observations.domain.parsing import read_observation
from services.sla.results import queries
from services.sla.results.domain.result import SetHash
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.postgres import PostgresServer
from tests.support.sla import metric_form, observe, probe, register_sla

OCTOBER = Window("2026-10", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
FILL = text(
    """
    INSERT INTO observation
    SELECT s.id, 'fill', n::text, 1, 'probe', 'payroll', timestamptz '2026-10-01T00:00Z' + n * interval '1 minute',
           NULL, n % 997, n % 1000 > 0, '{}', '[]', false, md5(n::text), now(), s.id,
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


async def plan(session: AsyncSession, sla_id: str) -> dict[str, Any]:
    statement = queries.in_effect(UUID(sla_id), "payroll", queries.begins_in(OCTOBER))
    written = statement.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    explained = await session.scalar(text(f"EXPLAIN (FORMAT JSON) {written}".replace(":", r"\:")))
    return explained[0]["Plan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def key_lookups(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        node
        for node in nodes(plan)
        if node.get("Index Name") == "pk_observation" and "source_id" in node.get("Index Cond", "")
    ]


@pytest.mark.parametrize("analyzed", [None, 93, 20_000])
async def test_superseded_versions_are_left_out_by_key_whatever_the_statistics_say(
    service, postgres, analyzed
):
    """Never analyzed; analyzed when there were a few rows of another SLA; and with statistics that are right."""
    await as_owner(service, postgres, "ALTER TABLE sla.observation SET (autovacuum_enabled = off)")
    old, new = [(await register_sla(service))["id"] for _ in range(2)]
    await fill(service, old, 1, 93)
    if analyzed == 93:
        await as_owner(service, postgres, "ANALYZE sla.observation")
    await fill(service, new, 1, 20_000)
    if analyzed == 20_000:
        await as_owner(service, postgres, "ANALYZE sla.observation")
    async with service.kernel.database.system() as session:
        explained = await plan(session, new)
    assert key_lookups(explained)
    scanned = [node for node in nodes(explained) if node["Node Type"] == "Seq Scan"]
    assert scanned == []
    assert not [node for node in nodes(explained) if "Join" in node["Node Type"]]


async def test_a_result_over_many_batches_is_exact_and_everybody_else_has_their_turn(service):
    metrics = [
        metric_form(),
        metric_form(
            key="RT-01",
            rule={"aggregation": "percentile", "percentile": "95"},
            unit="ms",
            comparator="lte",
            expected="990",
            minimum=None,
        ),
    ]
    sla = await register_sla(service, metrics=metrics)
    await fill(service, sla["id"], 1, 40_000)
    await observe(service, sla["id"], [probe(0, source="fill", source_id="1000", version=2, good=True)])
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla['id']}/results", period="2026-10")
    others.cancel()
    available, response = answer.json()["results"]
    assert (available["numerator_exact"], available["denominator_exact"]) == ("39961", "40000")
    values = sorted(n % 997 for n in range(1, 40_001) if n % 1000 > 0)
    assert response["value_exact"] == str(values[-(-95 * len(values) // 100) - 1])
    assert turns > 40_000 / queries.BATCH


async def test_observations_come_in_batches(service):
    sla = await register_sla(service)
    await fill(service, sla["id"], 1, 2500)
    async with service.kernel.database.system() as session:
        batches = queries.observations(session, UUID(sla["id"]), "payroll", OCTOBER, with_ended=False)
        sizes = [len(rows) async for rows in batches]
    assert sizes == [1000, 1000, 500]


@pytest.mark.parametrize("order", [1, -1])
async def test_neither_the_order_nor_the_batches_of_uploads_change_a_result(service, order):
    rows = [probe(n, good=n % 7 > 0, value=str(n % 13)) for n in range(300)][::order]
    hashes = set()
    for size in (300, 7):
        sla = await register_sla(service)
        for start in range(0, len(rows), size):
            await observe(service, sla["id"], rows[start : start + size])
        answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla['id']}/results", period="2026-10")
        [result] = answer.json()["results"]
        assert (result["numerator_exact"], result["denominator_exact"]) == ("257", "300")
        hashes.add(result["observation_hash"])
    assert hashes == {await _hash_of(service, rows)}


async def _hash_of(service: RunningService, rows: list[dict]) -> str:
    """The same hash made from the rows alone, as anybody may who holds them."""
    observed = SetHash()
    for seen in sorted(map(read_observation, rows), key=in_time):
        observed.add(fingerprint(seen))
    return observed.hexdigest()
