"""Results as people of the trade run into them: gaps, half months, late starts, agreed maintenance, near misses."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import metric_form, observe, probe, register_agreement, register_sla

OUTAGES = {"aggregation": "availability", "basis": "outages"}
CHECKS = {"aggregation": "availability", "basis": "checks"}
WITHIN_4_HOURS = {
    "aggregation": "within_duration_ratio",
    "clock": "elapsed",
    "unit": "hours",
    "limit": 4,
    "start": "assigned_at",
}
NEW_YORK = {"zone": "America/New_York", "zero_volume": None, "minimum": None, "expected": "99.9"}


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as started:
        yield started


@pytest.fixture(scope="module")
async def agreement(service: RunningService) -> dict:
    return await register_agreement(service)


def stretch(kind: str, start: str, end: str, **more) -> dict:
    given = {"source": "monitor", "source_id": f"{kind}-{start}", "kind": kind, "service": "payroll"}
    return given | {"occurred_at": start, "ended_at": end} | more


def check(moment: str, *, good: bool) -> dict:
    return probe(1, good=good, source_id=moment, occurred_at=moment)


ALL_OCTOBER = stretch("coverage", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z")
MAINTENANCE = stretch(
    "maintenance",
    "2026-10-10T02:00:00Z",
    "2026-10-10T06:00:00Z",
    attributes={"approved_at": "2026-09-20T12:00:00Z"},
)


async def sla_with(service: RunningService, agreement: dict, rule: dict, rows: list[dict], **changes) -> dict:
    metric = metric_form(rule=rule, **NEW_YORK | changes.pop("metric", {}))
    sla = await register_sla(service, agreement, metrics=[metric], **changes)
    assert (await observe(service, sla["id"], rows))["rejected"] == 0
    return sla


async def october(service: RunningService, agreement: dict, rule: dict, rows: list[dict], **changes) -> dict:
    sla = await sla_with(service, agreement, rule, rows, **changes)
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla['id']}/results", period="2026-10")
    assert answer.status_code == 200, answer.text
    [result] = answer.json()["results"]
    return result


async def test_agreed_maintenance_without_an_outage_can_be_read_and_reported(service, agreement):
    sla = await sla_with(service, agreement, OUTAGES, [ALL_OCTOBER, MAINTENANCE])
    made = await service.post("provider.om_team", f"/sla/v1/slas/{sla['id']}/reports", {"period": "2026-10"})
    path, version = f"/sla/v1/reports/{made.json()['id']}", made.json()["version"]
    draft = await service.post("provider.om_team", f"{path}/draft", version=version)
    assert draft.status_code == 200, draft.text
    [line] = draft.json()["results"]
    assert (line["value_exact"], line["denominator_exact"], line["status"]) == ("100", "44400", "met")
    assert line["excluded"] == [{"reason": "approved_maintenance", "count": 1, "minutes": "0"}]
    page = await service.get("provider.om_team", f"{path}.html")
    assert "approved maintenance: 1, 0 minutes" in page.text
    assert "100.00 % of what was due" in page.text


async def test_one_watched_hour_is_no_month(service, agreement):
    hour = stretch("coverage", "2026-10-01T12:00:00Z", "2026-10-01T13:00:00Z")
    result = await october(service, agreement, OUTAGES, [hour])
    assert (result["status"], result["denominator_exact"]) == ("insufficient_data", "60")
    assert (result["coverage"], result["coverage_exact"]) == ("0.13", "1/744")
    assert result["excluded"] == [{"reason": "not_watched", "count": 1, "minutes": "44580"}]


@pytest.mark.parametrize("attributes", [{}, {"assigned_at": "2026-10-05 08:30:00"}])
async def test_an_item_whose_clock_never_started_is_never_kept(service, agreement, attributes):
    item = stretch("event", "2026-10-05T12:00:00Z", "2026-10-25T12:00:00Z", attributes=attributes)
    result = await october(service, agreement, WITHIN_4_HOURS, [item], metric={"expected": "90"})
    assert (result["status"], result["n"], result["value"]) == ("no_data", 0, None)
    assert result["excluded"] == [{"reason": "clock_unusable", "count": 1, "minutes": None}]


async def test_checks_outside_business_time_do_not_count_where_that_was_agreed(service, agreement):
    rule = CHECKS | {"agreed_time": "business"}
    monday, sunday = "2026-10-05T12:00:00-04:00", "2026-10-04T03:00:00-04:00"
    rows = [check(monday, good=True), check(sunday, good=False)]
    result = await october(service, agreement, rule, rows)
    assert (result["numerator_exact"], result["denominator_exact"]) == ("1", "1")
    assert (result["value_exact"], result["status"]) == ("100", "met")


async def test_an_sla_that_takes_effect_on_the_16th_is_measured_from_then(service, agreement):
    outage = stretch("outage", "2026-10-20T12:00:00Z", "2026-10-20T12:32:00Z")
    watched = stretch("coverage", "2026-10-16T00:00:00-04:00", "2026-11-01T00:00:00-04:00")
    from_16th = {"effective_date": "2026-10-16"}
    result = await october(service, agreement, OUTAGES, [watched, outage], **from_16th)
    assert (result["numerator_exact"], result["denominator_exact"]) == ("23008", "23040")
    assert (result["display"], result["status"]) == ("99.86 %", "missed_expected")
    assert (result["window_label"], result["window_start"]) == ("2026-10", "2026-10-16T04:00:00Z")
    rows = [check("2026-10-02T12:00:00Z", good=False), check("2026-10-20T13:00:00Z", good=True)]
    checked = await october(service, agreement, CHECKS, rows, **from_16th)
    assert (checked["numerator_exact"], checked["denominator_exact"]) == ("1", "1")


async def test_an_sla_that_ends_early_is_measured_until_then_and_its_quarter_is_reported(service, agreement):
    metric = metric_form(rule=OUTAGES, **NEW_YORK) | {"window": "quarter"}
    sla = await register_sla(service, agreement, metrics=[metric], end_date="2026-11-10")
    rows = [stretch("coverage", "2026-10-01T00:00:00-04:00", "2026-12-31T00:00:00-05:00")]
    await observe(service, sla["id"], rows)
    path = f"/sla/v1/slas/{sla['id']}/results"
    in_october = (await service.get("customer.om_team", path, period="2026-10")).json()["results"]
    [last] = (await service.get("customer.om_team", path, period="2026-11")).json()["results"]
    assert in_october == []
    assert (last["window_label"], last["window_end"]) == ("FY27 Q1", "2026-11-11T05:00:00Z")


async def test_two_of_ninety_three_checks_are_too_little(service, agreement):
    rule = CHECKS | {"expects": {"per_day": 3}}
    rows = [check("2026-10-02T12:00:00Z", good=True), check("2026-10-03T12:00:00Z", good=True)]
    result = await october(service, agreement, rule, rows)
    assert (result["status"], result["coverage_exact"]) == ("insufficient_data", "2/93")
    assert result["display"] == "insufficient data (2.15 % covered)"


async def test_what_is_not_complete_is_not_shown_as_complete(service, agreement):
    rows = [probe(n, good=n > 0, source_id=str(n), occurred_at=_second(n)) for n in range(24_760)]
    metric = metric_form(rule=CHECKS, **NEW_YORK)
    strict = metric | {"key": "AV-02", "expected": "99.999"}
    sla = await register_sla(service, agreement, metrics=[metric, strict])
    for start in range(0, len(rows), 10_000):
        await observe(service, sla["id"], rows[start : start + 10_000])
    answer = await service.get("customer.om_team", f"/sla/v1/slas/{sla['id']}/results", period="2026-10")
    easy, hard = answer.json()["results"]
    assert (easy["value_exact"], easy["display"], easy["status"]) == ("123795/1238", "99.99 %", "met")
    assert (hard["display"], hard["status"]) == ("99.99 %", "missed_expected")
    assert "rounds_to_met" in hard["flags"]


def _second(number: int) -> str:
    minutes, seconds = divmod(number, 60)
    hours, minutes = divmod(minutes, 60)
    return f"2026-10-05T{hours:02}:{minutes:02}:{seconds:02}Z"


async def test_the_same_overdue_item_is_not_forgiven_every_month(start_service):
    rule = WITHIN_4_HOURS | {"start": "occurred_at"}
    in_time = [
        stretch("event", f"2026-{month}-05T12:00:00Z", f"2026-{month}-05T13:00:00Z") for month in (10, 11, 12)
    ]
    overdue = stretch("event", "2026-10-06T12:00:00Z", "2026-12-24T12:00:00Z")
    async with start_service("sla") as started:
        agreed = await register_agreement(started)
        metric = {"expected": "90", "low_volume": {}}
        sla = await sla_with(started, agreed, rule, [*in_time, overdue], metric=metric)
        started.clock.advance(timedelta(days=120))
        path = f"/sla/v1/slas/{sla['id']}/results"
        by_month = {}
        for period in ("2026-10", "2026-11", "2026-12"):
            [result] = (await started.get("customer.om_team", path, period=period)).json()["results"]
            by_month[period] = (result["status"], result["display"])
    assert by_month == {
        "2026-10": ("met", "50.00 %"),
        "2026-11": ("missed_expected", "50.00 %"),
        "2026-12": ("missed_expected", "50.00 %"),
    }


async def test_an_sla_says_what_follows_a_miss(service, agreement):
    form = {"agreement_id": agreement["id"], "title": "x", "service": "x", "metrics": [metric_form()]}
    dates = {"effective_date": "2026-10-01", "end_date": "2029-09-30"}
    for policy in ({}, {"remediation_policy": ""}, {"remediation_policy": None}):
        answer = await service.post("provider.om_team", "/sla/v1/slas", form | dates | policy)
        assert answer.status_code == 422, policy
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/remediation_policy"]
