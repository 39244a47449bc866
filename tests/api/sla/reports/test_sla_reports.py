"""The life of a performance report, its clocks, and the page people read."""

import csv
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import text

from services.sla.observations.service.mapping import load_mapping, map_row
from shared.contracts.sla import (
    AcknowledgementOverdue,
    MetricMissed,
    ReportAcknowledged,
    ReportDrafted,
    ReportOverdue,
    ReportPublished,
)
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import metric_form, observe, probe, register_agreement, register_sla, send

ATTEST = {"attestation": "I attest that this report is complete and accurate."}
EXAMPLES = Path(__file__).resolve().parents[4] / "services" / "sla" / "examples"
METRICS = [
    metric_form(),
    metric_form(key="AV-02", name="Travel availability", service="travel"),
    metric_form(key="IN-01", service="desk", zero_volume="not_applicable"),
    metric_form(key="AV-Q", service="payroll", window="quarter"),
]


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as started:
        yield started


@pytest.fixture
async def report(service: RunningService) -> dict:
    """A scheduled report of October: payroll at 99.79 %, nothing known of travel, no desk tickets."""
    sla = await register_sla(service, metrics=METRICS)
    await observe(service, sla["id"], [probe(n, good=n > 0) for n in range(480)])
    return await create(service, sla["id"])


async def create(service: RunningService, sla_id: str, period: str = "2026-10") -> dict:
    answer = await service.post("provider.om_team", f"/sla/v1/slas/{sla_id}/reports", {"period": period})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def act(service: RunningService, member: str, report: dict, verb: str, body: object = None):
    path = f"/sla/v1/reports/{report['id']}/{verb}"
    return await service.post(member, path, body, version=report["version"])


async def commented(service: RunningService, report: dict, **form: object):
    headers = service.headers("provider.om_team") | {"If-Match": f'"{report["version"]}"'}
    path = f"/sla/v1/reports/{report['id']}/commentary"
    return await service.client.patch(path, headers=headers, json=form)


async def drafted(service: RunningService, report: dict) -> dict:
    answer = await act(service, "provider.om_team", report, "draft")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def published(service: RunningService, report: dict) -> dict:
    draft = await drafted(service, report)
    missed = [
        line["metric_key"] for line in draft["results"] if line["status"] not in ("met", "not_applicable")
    ]
    draft = (await commented(service, draft, causes=dict.fromkeys(missed, "Known."))).json()
    answer = await act(service, "provider.business_owner", draft, "publish", ATTEST)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_report_is_drafted_explained_published_and_acknowledged(service, report):
    assert (report["state"], report["due_at"]) == ("scheduled", "2026-11-16T22:00:00Z")
    assert report["due_rule"] == "end of business day 10 after 2026-10-31"
    draft = await drafted(service, report)
    assert [(line["metric_key"], line["status"]) for line in draft["results"]] == [
        ("AV-01", "met"),
        ("AV-02", "no_data"),
        ("IN-01", "not_applicable"),
    ]
    assert draft["results"][0]["display"] == "99.79 %"
    early = await act(service, "provider.business_owner", draft, "publish", ATTEST)
    assert (early.status_code, early.json()["code"]) == (409, "cause_missing")
    explained = await commented(service, draft, summary="A good month.", causes={"AV-02": "Probe was off."})
    assert explained.status_code == 200, explained.text
    done = await act(service, "provider.business_owner", explained.json(), "publish", ATTEST)
    assert done.status_code == 200, done.text
    assert (done.json()["state"], done.json()["publisher_name"]) == ("published", "Provider Business Owner")
    assert done.json()["acknowledge_due"] == "2026-11-25T22:00:00Z"
    answer = await act(service, "customer.om_team", done.json(), "acknowledge", {"remarks": "Received."})
    assert (answer.status_code, answer.json()["state"]) == (200, "acknowledged")
    [missed] = [e for e in await service.events(MetricMissed) if str(e.report_id) == report["id"]]
    assert (missed.metric_key, missed.level, missed.value, missed.expected) == (
        "AV-02",
        "no_data",
        None,
        Decimal("99.5"),
    )
    [event] = [e for e in await service.events(ReportPublished) if str(e.report_id) == report["id"]]
    assert (event.metrics_met, event.metrics_missed, event.result_hash) == (1, 1, draft["result_hash"])
    assert report["id"] in {str(e.report_id) for e in await service.events(ReportAcknowledged)}


async def test_the_attested_results_are_served_byte_for_byte_and_hidden_while_they_are_a_draft(
    service, report
):
    path = f"/sla/v1/reports/{report['id']}/result_text"
    assert (await service.get("provider.om_team", path)).status_code == 404
    draft = await drafted(service, report)

    own = await service.get("provider.om_team", path)
    foreign = await service.get("customer.om_team", path)

    assert foreign.status_code == 404
    assert sha256(own.content).hexdigest() == own.headers["Content-Hash"] == draft["result_hash"]
    assert [line["metric"]["key"] for line in own.json()["results"]] == [
        line["metric_key"] for line in draft["results"]
    ]


async def test_results_attested_before_a_metric_had_more_fields_keep_their_bytes_and_their_hash(
    service, report
):
    """What an older program wrote down, without fields that today's classes have."""
    yesterday = b'{"results":[{"metric":{"key":"AV-01"},"result":{"n":3,"value":"1"}}]}'
    draft = await drafted(service, report)
    async with service.kernel.database.system() as session:
        await session.execute(
            text("UPDATE report SET result_text = :text, result_hash = :hash WHERE id = :id"),
            {"text": yesterday, "hash": sha256(yesterday).hexdigest(), "id": draft["id"]},
        )
    draft = (await commented(service, draft, causes={"AV-02": "Probe was off."})).json()
    done = await act(
        service, "provider.business_owner", draft, "publish", {"attestation": "Complete and accurate."}
    )
    assert done.status_code == 200, done.text

    read = await service.get("customer.om_team", f"/sla/v1/reports/{report['id']}/result_text")

    assert (read.content, read.headers["Content-Hash"]) == (yesterday, sha256(yesterday).hexdigest())
    [event] = [e for e in await service.events(ReportPublished) if str(e.report_id) == report["id"]]
    assert done.json()["result_hash"] == event.result_hash == sha256(yesterday).hexdigest()


async def test_drafting_again_takes_new_observations_in_and_keeps_causes(service, report):
    first = await drafted(service, report)
    first = (await commented(service, first, causes={"AV-02": "Probe was off."})).json()
    same = await drafted(service, first)
    assert (same["result_hash"], same["observation_hash"]) == (
        first["result_hash"],
        first["observation_hash"],
    )
    await observe(service, report["sla_id"], [probe(1, service="travel", source_id="t1")])
    second = await drafted(service, same)
    assert second["result_hash"] != first["result_hash"]
    assert second["observation_hash"] != first["observation_hash"]
    assert [line["status"] for line in second["results"]] == ["met", "met", "not_applicable"]
    assert second["results"][1]["cause"] == "Probe was off."
    assert len([e for e in await service.events(ReportDrafted) if str(e.report_id) == report["id"]]) == 3


async def test_a_published_report_never_changes(service, report):
    done = await published(service, report)
    for member, verb, body in (
        ("provider.om_team", "draft", None),
        ("provider.business_owner", "publish", ATTEST),
    ):
        again = await act(service, member, done, verb, body)
        assert (again.status_code, again.json()["code"]) == (409, "not_allowed")
    assert (await commented(service, done, summary="Better.")).status_code == 409
    await observe(service, report["sla_id"], [probe(1, good=True, version=2)])
    read = await service.get("customer.om_team", f"/sla/v1/reports/{report['id']}")
    assert read.json() == done


@pytest.mark.parametrize(
    ("member", "verb", "body", "status"),
    [
        ("customer.om_team", "draft", None, 403),
        ("provider.business_owner", "draft", None, 403),
        ("other.om_team", "draft", None, 404),
        ("provider.om_team", "publish", ATTEST, 403),
        ("customer.business_owner", "publish", ATTEST, 403),
        ("provider.om_team", "acknowledge", {}, 403),
        ("observer.om_team", "acknowledge", {}, 403),
        ("other.business_owner", "acknowledge", {}, 404),
        ("customer.om_team", "acknowledge", {}, 409),
        ("provider.business_owner", "publish", ATTEST, 409),
        ("provider.business_owner", "publish", {"attestation": ""}, 422),
    ],
)
async def test_each_step_belongs_to_one_role_and_state(service, report, member, verb, body, status):
    answer = await act(service, member, report, verb, body)
    assert answer.status_code == status, answer.text


async def test_the_customer_sees_no_line_before_publication(service, report):
    draft = await drafted(service, report)
    draft = await commented(service, draft, summary="Not yet.")
    path = f"/sla/v1/reports/{report['id']}"
    before = (await service.get("customer.om_team", path)).json()
    assert (before["state"], before["results"], before["summary"]) == ("drafted", [], "")
    assert (await service.get("other.om_team", path)).status_code == 404
    await published(service, draft.json())
    for member in ("customer.om_team", "observer.observer"):
        after = (await service.get(member, path)).json()
        assert (len(after["results"]), after["summary"]) == (3, "Not yet.")


async def test_a_cause_for_a_metric_the_report_does_not_show_is_refused(service, report):
    answer = await commented(service, await drafted(service, report), causes={"AV-Q": "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_metric")


async def test_too_little_data_need_a_cause_and_are_no_miss(service):
    rule = {"aggregation": "availability", "basis": "checks", "expects": {"per_day": 144}}
    sla = await register_sla(service, metrics=[metric_form(rule=rule)], effective_date="2026-10-16")
    await observe(service, sla["id"], [probe(n) for n in range(15 * 144, 16 * 144)])
    draft = await drafted(service, await create(service, sla["id"]))
    [line] = draft["results"]
    assert (line["status"], line["coverage_exact"]) == ("insufficient_data", "1/16")
    early = await act(service, "provider.business_owner", draft, "publish", ATTEST)
    assert (early.status_code, early.json()["code"]) == (409, "cause_missing")
    explained = (await commented(service, draft, causes={"AV-01": "The probe was off."})).json()
    done = await act(service, "provider.business_owner", explained, "publish", ATTEST)
    assert done.status_code == 200, done.text
    assert [e for e in await service.events(MetricMissed) if str(e.sla_id) == sla["id"]] == []
    page = await service.get("customer.om_team", f"/sla/v1/reports/{draft['id']}.html")
    for words in (
        "Too little data",
        "insufficient data (6.25 % covered)",
        "6.25 % of what was due; a verdict needs 90 %",
        "2026-10, from 2026-10-15 20:00 EDT to 2026-10-31 20:00 EDT, UTC",
        "The probe was off.",
    ):
        assert words in page.text


async def test_a_period_still_running_cannot_be_reported(service):
    sla = await register_sla(service)
    running = await create(service, sla["id"], "2026-11")
    answer = await act(service, "provider.om_team", running, "draft")
    assert (answer.status_code, answer.json()["code"]) == (409, "period_not_over")
    again = await service.post("provider.om_team", f"/sla/v1/slas/{sla['id']}/reports", {"period": "2026-11"})
    assert (again.status_code, again.json()["code"]) == (409, "report_exists")


async def test_a_value_just_under_the_level_is_published_as_a_miss(service):
    metric = metric_form(expected="99.8", minimum="99.0", display_decimals=1)
    sla = await register_sla(service, metrics=[metric])
    await observe(service, sla["id"], [probe(n, good=n > 0) for n in range(480)])
    done = await published(service, await create(service, sla["id"]))
    [line] = done["results"]
    assert (line["status"], line["display"], line["value_exact"]) == ("missed_expected", "99.7 %", "2395/24")
    [missed] = [e for e in await service.events(MetricMissed) if str(e.sla_id) == sla["id"]]
    assert (missed.level, missed.value) == ("expected", Decimal("99.7916666667"))


async def test_reports_are_scheduled_at_period_end_and_overdue_once_on_the_right_business_day(start_service):
    async with start_service("sla") as started:
        sla = await register_sla(started)
        started.clock.set(datetime(2026, 12, 1, 4, 59, tzinfo=UTC))
        await started.drain()
        assert await reports_of(started, sla) == []
        started.clock.set(datetime(2026, 12, 1, 5, 0, tzinfo=UTC))
        await started.drain()
        [scheduled] = await reports_of(started, sla)
        assert (scheduled["period"], scheduled["state"]) == ("2026-11", "scheduled")
        assert scheduled["due_at"] == "2026-12-14T22:00:00Z"
        started.clock.set(datetime(2026, 12, 14, 22, 0, tzinfo=UTC))
        await started.drain()
        assert await started.events(ReportOverdue) == []
        started.clock.set(datetime(2026, 12, 14, 22, 0, 1, tzinfo=UTC))
        await started.drain()
        await started.drain()
        [overdue] = await started.events(ReportOverdue)
        assert (str(overdue.report_id), overdue.period) == (scheduled["id"], "2026-11")
        [late] = await reports_of(started, sla, overdue="true")
        assert late["is_overdue"]
        assert await reports_of(started, sla, overdue="false") == []


async def test_a_timer_that_slept_schedules_every_period_it_missed(start_service):
    async with start_service("sla") as started:
        sla = await register_sla(started, end_date="2027-02-10")
        started.clock.set(datetime(2027, 6, 1, tzinfo=UTC))
        await started.drain()
        periods = [row["period"] for row in await reports_of(started, sla)]
        assert sorted(periods) == ["2026-11", "2026-12", "2027-01", "2027-02"]
        read = await started.get("customer.om_team", f"/sla/v1/slas/{sla['id']}")
        assert read.json()["next_report_at"] is None


async def test_an_answer_that_stays_out_is_overdue_once_and_an_answer_ends_it(start_service):
    async with start_service("sla") as started:
        sla = await register_sla(started)
        await observe(started, sla["id"], [probe(1)])
        done = await published(started, await create(started, sla["id"]))
        assert done["acknowledge_due"] == "2026-11-25T22:00:00Z"
        started.clock.set(datetime(2026, 11, 25, 22, 0, 1, tzinfo=UTC))
        await started.drain()
        await started.drain()
        [late] = await started.events(AcknowledgementOverdue)
        assert str(late.report_id) == done["id"]
        read = (await started.get("customer.om_team", f"/sla/v1/reports/{done['id']}")).json()
        assert read["is_ack_overdue"]
        answer = await act(started, "customer.business_owner", read, "acknowledge")
        assert answer.status_code == 200


async def reports_of(service: RunningService, sla: dict, **filters: str) -> list[dict]:
    answer = await service.get("customer.om_team", "/sla/v1/reports", sla_id=sla["id"], **filters)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


class Outline(HTMLParser):
    """Collects what a screen reader would go by."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


async def test_the_page_reads_well_without_colour_and_escapes_what_people_wrote(service, report):
    draft = (
        await commented(service, await drafted(service, report), summary="<script>alert(1)</script>")
    ).json()
    await published(service, draft)
    answer = await service.get("customer.om_team", f"/sla/v1/reports/{report['id']}.html")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "'unsafe-inline'" not in answer.headers["content-security-policy"]
    page = answer.text
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    for words in ("No data", "Met", "99.79 %", "at least 99.5 %", "Known.", draft["result_hash"], "2026-10"):
        assert words in page
    outline = Outline(page)
    assert outline.all("html") == [{"lang": "en"}]
    assert (len(outline.all("h1")), len(outline.all("caption")), len(outline.all("table"))) == (1, 1, 1)
    assert all(cell.get("scope") in ("col", "row") for cell in outline.all("th"))
    labels = {section["aria-labelledby"] for section in outline.all("section")}
    assert labels == {attrs.get("id") for name, attrs in outline.tags if name in ("h2", "h3")}
    assert (await service.get("other.om_team", f"/sla/v1/reports/{report['id']}.html")).status_code == 404


async def test_a_scheduled_report_has_a_page_too(service, report):
    answer = await service.get("customer.om_team", f"/sla/v1/reports/{report['id']}.html")
    assert answer.status_code == 200
    assert "Scheduled" in answer.text


async def test_published_results_are_flat_rows_and_tables(service, report):
    done = await published(service, report)
    answer = await service.get(
        "customer.om_team", "/sla/v1/series", sla_id=report["sla_id"], metric_key="AV-01"
    )
    [row] = answer.json()["items"]
    assert (row["time"], row["value"]) == ("2026-11-01T00:00:00Z", done["results"][0]["value"])
    for path, params in (("series.csv", {"sla_id": report["sla_id"]}), ("reports.csv", {})):
        table = await service.get("customer.om_team", f"/sla/v1/{path}", **params)
        assert (table.status_code, table.headers["content-type"][:8]) == (200, "text/csv")


async def test_real_checks_give_the_published_availability(service, shared_data):
    """Status checks of a university, mapped as the example mapping says, sent as NDJSON."""
    agreement = await register_agreement(
        service, start_date="2025-10-01", end_date="2028-09-30", gtc_number="A2510-990-991-000001"
    )
    metrics = [
        metric_form(key="AV-01", service="Simple Syllabus"),
        metric_form(key="AV-02", service="You"),
        metric_form(
            key="RT-01",
            service="Okta",
            rule={"aggregation": "percentile", "percentile": "95"},
            unit="ms",
            comparator="lte",
            expected="1000",
            minimum=None,
        ),
    ]
    sla = await register_sla(
        service, agreement, effective_date="2025-10-01", end_date="2028-09-30", metrics=metrics
    )
    mapping = load_mapping((EXAMPLES / "status_checks.toml").read_text())
    with (shared_data / "status-checks.csv").open(newline="") as rows:
        mapped = [map_row(mapping, row, line) for line, row in enumerate(csv.DictReader(rows), 2)]
    body = "\n".join(json.dumps(row) for row in mapped)
    taken = (await send(service, sla["id"], body, kind="application/x-ndjson")).json()
    assert (taken["received"], taken["accepted"], taken["rejected"]) == (3412, 3412, 0)
    november = await drafted(service, await create(service, sla["id"], "2025-11"))
    assert november["results"][0]["value_exact"] == "1600/17"
    assert november["results"][0]["display"] == "94.12 %"
    december = await drafted(service, await create(service, sla["id"], "2025-12"))
    by_metric = {line["metric_key"]: line for line in december["results"]}
    assert (by_metric["AV-02"]["numerator_exact"], by_metric["AV-02"]["denominator_exact"]) == ("51", "72")
    assert (by_metric["RT-01"]["value"], by_metric["RT-01"]["n"]) == ("864.0000000000", 32)
