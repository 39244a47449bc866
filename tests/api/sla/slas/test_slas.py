"""SLAs over HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.contracts.sla import (
    AgreementRegistered,
    SlaRegistered,
)
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import metric_form, register_agreement, register_sla, sla_form


@pytest.fixture(scope="module")
async def sla(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as service:
        yield service


async def test_the_customer_registers_an_agreement_and_both_read_it(sla):
    agreement = await register_agreement(sla)
    assert agreement["number"].startswith("AGR-FY27-")
    assert agreement["next_review_due"] == "2027-10-01"
    assert (agreement["version"], agreement["total_amount"]) == (1, "4800000.00")
    for member in ("customer.om_team", "provider.om_team", "observer.observer"):
        assert (await sla.get(member, f"/sla/v1/agreements/{agreement['id']}")).status_code == 200
    assert agreement["id"] in {str(event.agreement_id) for event in await sla.events(AgreementRegistered)}


async def test_an_sla_is_registered_with_its_metrics_in_one_call(sla):
    registered = await register_sla(sla)
    assert registered["number"].startswith("SLA-FY27-")
    assert (registered["due_business_day"], registered["acknowledge_within_business_days"]) == (10, 10)
    assert registered["next_report_at"] == "2026-12-01T05:00:00Z"
    assert registered["next_review_due"] == "2027-10-01"
    [metric] = registered["metrics"]
    assert (metric["expected"], metric["rule"]["aggregation"]) == ("99.5", "availability")
    again = await sla.get("customer.om_team", f"/sla/v1/slas/{registered['id']}")
    assert again.json() == registered
    assert registered["id"] in {str(event.sla_id) for event in await sla.events(SlaRegistered)}


def _metric(**changes: Any) -> dict[str, Any]:
    return {"metrics": [metric_form(**changes)]}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"effective_date": "2026-09-30"}, "/effective_date"),
        ({"end_date": "2029-10-01"}, "/end_date"),
        ({"end_date": "2026-10-01"}, "/end_date"),
        ({"calendar": "lunar"}, "/calendar"),
        ({"metrics": []}, "/metrics"),
        ({"metrics": [metric_form(), metric_form()]}, "/metrics/1/key"),
        (_metric(minimum="99.9"), "/metrics/0/minimum"),
        (_metric(zone="Mars/Olympus"), "/metrics/0/zone"),
        (_metric(expected="NaN"), "/metrics/0/expected"),
        (_metric(expected=99.5), "/metrics/0/expected"),
        (_metric(rule={"aggregation": "guess"}), "/metrics/0/rule"),
        (
            _metric(unit="ms", rule={"aggregation": "percentile", "percentile": "0"}),
            "/metrics/0/rule/percentile",
        ),
        ({"due_business_day": 0}, "/due_business_day"),
        ({"remediation_policy": ""}, "/remediation_policy"),
    ],
)
async def test_an_sla_that_cannot_be_is_refused_where_it_is_wrong(sla, changes, pointer):
    agreement = await register_agreement(sla)
    answer = await sla.post("provider.om_team", "/sla/v1/slas", sla_form(agreement["id"]) | changes)
    assert answer.status_code == 422, answer.text
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


async def test_an_sla_hangs_on_an_agreement_the_caller_sees(sla):
    agreement = await register_agreement(sla)
    stranger = await sla.post("other.om_team", "/sla/v1/slas", sla_form(agreement["id"]))
    assert stranger.status_code == 404
    observer = await sla.post("observer.om_team", "/sla/v1/slas", sla_form(agreement["id"]))
    assert observer.status_code == 403


async def test_lists_have_pages_filters_and_a_csv_twin(sla):
    registered = await register_sla(sla)
    listed = await sla.get("customer.om_team", "/sla/v1/slas", agreement_id=registered["agreement_id"])
    assert [row["id"] for row in listed.json()["items"]] == [registered["id"]]
    for path in ("slas", "agreements"):
        table = await sla.get("customer.om_team", f"/sla/v1/{path}.csv")
        assert table.headers["content-type"].startswith("text/csv")
        assert '"number"' in table.text.splitlines()[0]
    contracts = await sla.get("customer.om_team", "/sla/v1/agreements", kind="CONTRACT")
    assert contracts.json()["items"] == []
