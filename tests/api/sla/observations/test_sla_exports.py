"""Uploads as other systems export them, and uploads that are mostly rubbish."""

import asyncio
import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.sla.observations.service.intake import MOST_REJECTED
from services.sla.observations.service.mapping import load_mapping, map_row
from shared.web.validation import MOST_FINDINGS
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import metric_form, observe, probe, register_agreement, register_sla, send

TICKETS = Path(__file__).resolve().parents[4] / "services" / "sla" / "examples" / "tickets.toml"
COMPOSED, DECOMPOSED = "Caf\u00e9 Zahlung", "Cafe\u0301 Zahlung"
LIMIT = 5 * 1024 * 1024


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as started:
        yield started


@pytest.fixture(scope="module")
async def agreement(service: RunningService) -> dict[str, Any]:
    return await register_agreement(service)


async def october(service: RunningService, sla_id: str) -> dict[str, Any]:
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla_id}/results", period="2026-10")
    [result] = answer.json()["results"]
    return result


async def test_a_service_in_decomposed_unicode_meets_its_metric(service, agreement):
    sla = await register_sla(service, agreement, metrics=[metric_form(service=COMPOSED)])
    rows = [probe(n, service=DECOMPOSED, good=n > 2) for n in range(8)]
    lines = [
        f"status-page,{row['source_id']},probe,{DECOMPOSED},{row['occurred_at']},{row['good']}"
        for row in rows
    ]
    text = "\n".join(["source,source_id,kind,service,occurred_at,good", *lines])

    first = await send(service, sla["id"], text, kind="text/csv")
    again = await observe(service, sla["id"], [row | {"service": COMPOSED} for row in rows])

    assert (first.json()["accepted"], first.json()["rejected"]) == (8, 0)
    assert again["duplicates"] == 8
    result = await october(service, sla["id"])
    assert (result["numerator_exact"], result["denominator_exact"], result["value"]) == (
        "5",
        "8",
        "62.5000000000",
    )


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson"])
async def test_times_with_nine_decimals_are_taken(service, agreement, kind):
    sla = await register_sla(service, agreement)
    row = probe(0, occurred_at="2026-10-05T12:00:00.123456789Z")
    row.pop("attributes", None)
    body = json.dumps(row)
    if kind == "text/csv":
        cells = {name: json.dumps(value).strip('"') for name, value in row.items()}
        body = f"{','.join(cells)}\n{','.join(cells.values())}\n"

    answer = await send(service, sla["id"], body, kind=kind)

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1), answer.text


async def test_a_query_takes_times_with_seven_decimals(service, agreement):
    since = "2026-10-01T00:00:00.1234567Z"
    answer = await service.get("customer.om_team", "/sla/v1/agreements", since=since)
    assert answer.status_code == 200, answer.text
    assert agreement["id"] in {item["id"] for item in answer.json()["items"]}


async def test_a_table_that_a_spreadsheet_saved_is_taken(service, agreement):
    sla = await register_sla(service, agreement)
    lines = [
        f"status-page,{n},probe,payroll,2026-10-05T12:00:0{n}Z,{good}"
        for n, good in enumerate(("TRUE", "FALSE"))
    ]
    text = "\ufeff" + "\r\n".join(["source,source_id,kind,service,occurred_at,good", *lines, ""])

    answer = await send(service, sla["id"], text, kind="text/csv")

    assert (answer.json()["accepted"], answer.json()["errors"]) == (2, [])
    assert (await october(service, sla["id"]))["numerator_exact"] == "1"


async def test_next_weeks_export_brings_a_ticket_up_to_date_and_last_weeks_changes_nothing(
    service, agreement
):
    mapping = load_mapping(TICKETS.read_text())
    rule = {"aggregation": "within_duration_ratio", "clock": "elapsed", "unit": "hours", "limit": 48}
    metric = metric_form(service="service_desk", rule=rule, zero_volume="not_applicable")
    sla = await register_sla(service, agreement, metrics=[metric])
    head = "number,opened_at,priority,state_log\n"
    first_week = "T1,2026-10-05T09:00,2 - High,2026-10-05T09:00=New|2026-10-05T09:30=In Progress"

    async def load(row: str) -> dict[str, Any]:
        [cells] = csv.DictReader((head + row).splitlines())
        return await observe(service, sla["id"], [map_row(mapping, cells, 2)])

    assert (await load(first_week))["accepted"] == 1
    assert (await load(first_week))["duplicates"] == 1
    second = await load(f"{first_week}|2026-10-06T15:00=Resolved")
    assert (second["accepted"], second["superseded"], second["errors"]) == (1, 1, [])
    assert (await load(first_week))["duplicates"] == 1
    result = await october(service, sla["id"])
    assert (result["numerator_exact"], result["denominator_exact"]) == ("1", "1")


@pytest.mark.parametrize("good_first", [True, False])
async def test_more_than_a_thousand_bad_rows_refuse_them_all(service, agreement, good_first):
    sla = await register_sla(service, agreement)
    good, bad = [probe(n) for n in range(600)], [{"source": "x"} for _ in range(MOST_REJECTED)]
    rows = good + bad if good_first else bad + good

    taken = (await send(service, sla["id"], json.dumps(rows), kind="application/json")).json()
    refused = await send(service, sla["id"], json.dumps([*rows, {}]), kind="application/json")

    assert (taken["accepted"], taken["rejected"]) == (600, MOST_REJECTED)
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_rejected")
    assert len(refused.json()["errors"]) == MOST_FINDINGS
    assert refused.json()["errors"][0]["pointer"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{"items":[' + "{}," * (LIMIT // 3 - 10) + "{}]}"),
        ("application/x-ndjson", "{}\n" * (LIMIT // 3)),
        ("text/csv", "source,source_id\n" + ",\n" * (LIMIT // 2 - 20)),
    ],
    ids=["json", "ndjson", "csv"],
)
async def test_five_mebibytes_of_nothing_are_given_up_and_everybody_else_has_their_turn(
    service, agreement, kind, body
):
    sla = await register_sla(service, agreement)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(take_turns())
    answer = await send(service, sla["id"], body, kind=kind)
    others.cancel()

    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_rejected")
    assert turns > MOST_REJECTED // 250


async def test_five_slow_uploads_keep_no_connection_from_anybody(service, agreement):
    """The service has five connections; a body is received before one is taken."""
    sla = await register_sla(service, agreement)
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def trickle() -> AsyncIterator[bytes]:
        yield b"source,source_id,kind,service,occurred_at,good\n"
        begun.release()
        await go_on.wait()
        yield b"page,1,probe,payroll,2026-10-01T12:00:00Z,true\n"

    headers = service.headers("provider.om_team") | {"Content-Type": "text/csv"}
    path = f"/sla/v1/slas/{sla['id']}/observations"
    uploads = [
        asyncio.create_task(service.client.post(path, headers=headers, content=trickle())) for _ in range(5)
    ]
    for _ in uploads:
        await begun.acquire()
    assert service.kernel.database.connections_in_use == 0
    assert (await service.get("customer.om_team", f"/sla/v1/slas/{sla['id']}")).status_code == 200
    go_on.set()
    answers = [(await upload).json() for upload in uploads]
    assert sum(answer["accepted"] for answer in answers) == 1
    assert sum(answer["duplicates"] for answer in answers) == 4
