"""Taking in observations: three formats, bad rows, repeats, corrections."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import metric_form, observe, probe, register_agreement, register_sla, send

HEADER = "source,source_id,version,kind,service,occurred_at,good,value,attributes.http_status\n"


def csv_row(number: int, good: str = "true", version: int = 1) -> str:
    seen = probe(number)
    return f"status-page,{seen['source_id']},{version},probe,payroll,{seen['occurred_at']},{good},378,200\n"


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as started:
        yield started


@pytest.fixture(scope="module")
async def agreement(service: RunningService) -> dict:
    return await register_agreement(service)


@pytest.fixture
async def sla_id(service: RunningService, agreement: dict) -> str:
    return (await register_sla(service, agreement))["id"]


async def counted(service: RunningService, sla_id: str) -> tuple[str | None, str | None]:
    """Good checks and all checks of October, as the live result counts them."""
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla_id}/results", period="2026-10")
    [result] = answer.json()["results"]
    return result["numerator_exact"], result["denominator_exact"]


def bodies(rows: list[dict]) -> dict[str, str]:
    """The same observations in each format."""
    return {
        "text/csv": HEADER + "".join(csv_row(n, str(row["good"]).lower()) for n, row in enumerate(rows)),
        "application/x-ndjson": "\n".join(json.dumps(row) for row in rows),
        "application/json": json.dumps(rows),
    }


@pytest.mark.parametrize("kind", ["text/csv", "application/x-ndjson", "application/json"])
async def test_a_thousand_rows_come_in_each_format_and_again_without_effect(service, sla_id, kind):
    body = bodies([probe(n, good=n % 100 != 0) for n in range(1200)])[kind]
    first = await send(service, sla_id, body, kind=f"{kind}; charset=utf-8")
    assert first.status_code == 200, first.text
    assert first.json() == {
        "received": 1200,
        "accepted": 1200,
        "duplicates": 0,
        "superseded": 0,
        "stale": 0,
        "rejected": 0,
        "errors": [],
    }
    again = (await send(service, sla_id, body, kind=kind)).json()
    assert (again["accepted"], again["duplicates"], again["rejected"]) == (0, 1200, 0)
    assert await counted(service, sla_id) == ("1188", "1200")


async def test_of_concurrent_uploads_of_the_same_rows_each_row_is_accepted_once(service, sla_id):
    rows = [probe(n) for n in range(300)]
    uploads = [json.dumps(rows), json.dumps(rows[::-1]), json.dumps(rows[100:] + rows[:100])]
    answers = [a.json() for a in await asyncio.gather(*(send(service, sla_id, body) for body in uploads))]
    assert sum(answer["accepted"] for answer in answers) == 300
    assert sum(answer["duplicates"] for answer in answers) == 600
    assert await counted(service, sla_id) == ("300", "300")


async def test_json_items_and_a_byte_order_mark_are_understood(service, sla_id):
    body = b"\xef\xbb\xbf" + json.dumps({"items": [probe(1)]}).encode()
    assert (await send(service, sla_id, body)).json()["accepted"] == 1
    body = b"\xef\xbb\xbf" + (HEADER + csv_row(2)).replace("\n", "\r\n").encode()
    assert (await send(service, sla_id, body, kind="text/csv")).json()["accepted"] == 1


async def test_bad_rows_are_reported_and_the_good_ones_kept(service, sla_id):
    body = (
        HEADER
        + csv_row(1)
        + csv_row(2, good="maybe")
        + "a,b\n"
        + csv_row(3)
        + 'x,"y"z,1,,,,,,\n'
        + csv_row(4)
    )
    answer = (await send(service, sla_id, body, kind="text/csv")).json()
    assert (answer["received"], answer["accepted"], answer["rejected"]) == (6, 3, 3)
    assert [(e["line"], e["field"], e["code"]) for e in answer["errors"]] == [
        (3, "good", "invalid"),
        (4, "", "cell_count"),
        (6, "", "malformed_csv"),
    ]
    assert await counted(service, sla_id) == ("3", "3")


async def test_a_broken_line_of_ndjson_spoils_no_other(service, sla_id):
    lines = [
        json.dumps(probe(1)),
        "{",
        "[]",
        "",
        '{"source":NaN}',
        '{"a":1,"a":2}',
        "[" * 3000,
        json.dumps(probe(2)),
    ]
    answer = (await send(service, sla_id, "\n".join(lines), kind="application/x-ndjson")).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 5)
    assert [error["line"] for error in answer["errors"]] == [2, 3, 5, 6, 7]


async def test_on_request_one_bad_row_refuses_them_all(service, sla_id):
    body = HEADER + "".join(csv_row(n) for n in range(600)) + csv_row(600, good="maybe")
    answer = await send(service, sla_id, body, kind="text/csv", on_error="refuse")
    assert (answer.status_code, answer.json()["code"]) == (422, "rows_rejected")
    assert answer.json()["errors"][0]["pointer"] == "/602/good"
    assert await counted(service, sla_id) == (None, None)


async def test_a_later_version_supersedes_and_an_older_one_is_stale(service, sla_id):
    await observe(service, sla_id, [probe(1, good=False, version=5), probe(2)])
    assert await counted(service, sla_id) == ("1", "2")
    later = await observe(service, sla_id, [probe(1, good=True, version=6)])
    assert (later["accepted"], later["superseded"]) == (1, 1)
    older = await observe(service, sla_id, [probe(1, good=False, version=4)])
    assert (older["accepted"], older["stale"]) == (0, 1)
    assert await counted(service, sla_id) == ("2", "2")


async def test_several_versions_in_one_body_end_with_the_greatest(service, sla_id):
    rows = [probe(1, good=True, version=2), probe(1, good=False, version=3), probe(1, good=True, version=1)]
    answer = await observe(service, sla_id, rows)
    assert (answer["accepted"], answer["superseded"], answer["stale"]) == (2, 1, 1)
    assert await counted(service, sla_id) == ("0", "1")


async def test_a_tombstone_takes_an_observation_back(service, sla_id):
    await observe(service, sla_id, [probe(1), probe(2)])
    gone = {"source": "status-page", "source_id": "payroll-1", "version": 2, "deleted": True}
    assert (await observe(service, sla_id, [gone]))["superseded"] == 1
    assert await counted(service, sla_id) == ("1", "1")


async def test_a_version_that_says_something_else_is_refused_and_the_first_one_stands(service, sla_id):
    await observe(service, sla_id, [probe(1, good=True)])
    answer = await observe(service, sla_id, [probe(1, good=False)])
    assert (answer["duplicates"], answer["rejected"]) == (0, 1)
    assert answer["errors"][0]["code"] == "version_conflict"
    assert await counted(service, sla_id) == ("1", "1")


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("text/plain", "x", 415, "unsupported_media_type"),
        ("text/csv", b"source,source_id\n\xff,1\n", 422, "not_utf8"),
        ("application/json", b'["\xff"]', 422, "not_utf8"),
        ("application/x-ndjson", b'{"a":"\xff"}\n', 422, "not_utf8"),
        ("text/csv", "", 422, "invalid_header"),
        ("text/csv", "colour,source,source_id\n", 422, "invalid_header"),
        ("text/csv", ",".join(f"attributes.{n}" for n in range(65)), 422, "too_many_columns"),
        ("text/csv", HEADER + "x" * 70_000, 422, "line_too_long"),
        ("text/csv", HEADER + '"' + "x\n" * 40_000, 422, "line_too_long"),
        ("application/x-ndjson", " " * 70_000, 422, "line_too_long"),
        ("application/json", "{", 422, "malformed_json"),
        ("application/json", "[" * 100_000, 422, "malformed_json"),
        ("application/json", '{"rows": []}', 422, "not_a_list"),
        ("application/json", "3", 422, "not_a_list"),
        ("application/json", '[{"value": 1e99999999999999999999}]', 422, "malformed_json"),
        ("text/csv", b"x" * 5_242_881, 413, "body_too_large"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_whole(service, sla_id, kind, body, status, code):
    answer = await send(service, sla_id, body, kind=kind)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text[:300]
    assert await counted(service, sla_id) == (None, None)


@pytest.mark.parametrize("value", ["a\x00b", "\ud800"])
@pytest.mark.parametrize("field", ["source", "source_id", "service", "kind", "value", "occurred_at"])
async def test_text_a_database_cannot_hold_is_a_bad_row(service, sla_id, field, value):
    body = json.dumps([probe(1, **{field: value})])
    answer = await send(service, sla_id, body)
    assert (answer.status_code, answer.json()["rejected"]) == (200, 1), answer.text
    assert answer.json()["errors"][0]["field"] == field


async def test_compressed_bodies_are_refused(service, sla_id):
    headers = service.headers("provider.om_team") | {"Content-Type": "text/csv", "Content-Encoding": "gzip"}
    answer = await service.client.post(
        f"/sla/v1/slas/{sla_id}/observations", headers=headers, content=b"\x1f\x8b"
    )
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("member", "status"),
    [
        ("customer.om_team", 403),
        ("observer.om_team", 403),
        ("provider.isso", 403),
        ("other.om_team", 404),
        ("provider.business_owner", 200),
    ],
)
async def test_only_the_provider_writes_observations(service, sla_id, member, status):
    answer = await send(service, sla_id, json.dumps([probe(1)]), member=member)
    assert answer.status_code == status


async def test_a_stranger_sees_no_result(service, sla_id):
    answer = await service.get("other.om_team", f"/sla/v1/slas/{sla_id}/results", period="2026-10")
    assert answer.status_code == 404


@pytest.mark.parametrize("period", ["2026-9", "FY27", "2026-09", "2030-01", "x"])
async def test_a_period_the_sla_does_not_report_is_refused(service, sla_id, period):
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla_id}/results", period=period)
    assert answer.status_code == 422


async def test_metrics_of_several_services_and_kinds_read_one_upload(service, agreement):
    metrics = [
        metric_form(),
        metric_form(key="AV-02", service="travel"),
        metric_form(
            key="RT-01",
            name="Response time",
            rule={"aggregation": "percentile", "percentile": "90"},
            unit="ms",
            comparator="lte",
            expected="3000",
            minimum=None,
        ),
        metric_form(
            key="IN-01",
            service="desk",
            rule={
                "aggregation": "within_duration_ratio",
                "clock": "business",
                "unit": "hours",
                "limit": 8,
                "limits_by_priority": [{"priority": "1", "limit": 1}],
            },
            minimum=None,
        ),
        metric_form(
            key="AV-03",
            service="desk",
            zone="America/New_York",
            rule={"aggregation": "availability", "basis": "outages"},
        ),
    ]
    sla = await register_sla(service, agreement, metrics=metrics)
    desk = {"source": "desk", "kind": "event", "service": "desk"}
    start = "2026-10-01T13:00:00Z"
    rows = [
        *(probe(n, value=str(100 * n), good=n != 9) for n in range(1, 11)),
        desk | {"source_id": "1", "occurred_at": start, "ended_at": "2026-10-01T15:00:00Z"},
        desk
        | {
            "source_id": "2",
            "occurred_at": start,
            "ended_at": "2026-10-01T15:00:00Z",
            "attributes": {"priority": "1"},
            "pauses": [["2026-10-01T13:30:00Z", "2026-10-01T14:30:00Z"]],
        },
        desk | {"source_id": "3", "occurred_at": start},
        desk
        | {
            "source_id": "o",
            "kind": "outage",
            "occurred_at": "2026-11-01T03:30:00Z",
            "ended_at": "2026-11-01T08:30:00Z",
        },
    ]
    assert (await observe(service, sla["id"], rows))["rejected"] == 0
    answer = await service.get("provider.om_team", f"/sla/v1/slas/{sla['id']}/results", period="2026-10")
    by_metric = {row["metric_key"]: row for row in answer.json()["results"]}
    assert by_metric["AV-01"]["value_exact"] == "90"
    assert (by_metric["AV-02"]["status"], by_metric["AV-02"]["display"]) == ("no_data", "no data")
    assert (by_metric["RT-01"]["value"], by_metric["RT-01"]["n"]) == ("1000.0000000000", 9)
    assert (by_metric["IN-01"]["numerator_exact"], by_metric["IN-01"]["denominator_exact"]) == ("2", "3")
    assert by_metric["IN-01"]["flags"] == ["open_overdue"]
    assert (by_metric["AV-03"]["numerator_exact"], by_metric["AV-03"]["denominator_exact"]) == (
        "44610",
        "44640",
    )
