"""Agreements, SLAs and their yearly reviews over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts.sla import (
    AgreementRegistered,
    AgreementReviewDetermined,
    AgreementReviewDueSoon,
    AgreementReviewOverdue,
    SlaRegistered,
    SlaReviewDetermined,
)
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import agreement_form, metric_form, register_agreement, register_sla, sla_form


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


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"gtc_number": "A26-1"}, "/gtc_number"),
        ({"gtc_number": None}, "/gtc_number"),
        ({"kind": "CONTRACT"}, "/gtc_number"),
        ({"kind": "MOU_MOA", "gtc_number": None}, "/total_amount"),
        ({"end_date": "2026-10-01"}, "/end_date"),
        ({"end_date": "9999-12-31"}, "/end_date"),
        ({"total_amount": "-1"}, "/total_amount"),
        ({"total_amount": 1.5}, "/total_amount"),
        ({"title": "a\x00b"}, "/title"),
        ({"colour": "red"}, "/colour"),
    ],
)
async def test_an_agreement_that_cannot_be_is_refused_where_it_is_wrong(sla, changes, pointer):
    answer = await sla.post("customer.om_team", "/sla/v1/agreements", agreement_form(sla) | changes)
    assert answer.status_code == 422, answer.text
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}


async def test_the_provider_registers_no_agreement_and_a_stranger_sees_none(sla):
    agreement = await register_agreement(sla)
    refused = await sla.post("provider.om_team", "/sla/v1/agreements", agreement_form(sla))
    assert (refused.status_code, refused.json()["code"]) == (403, "other_party")
    stranger = await sla.post("other.om_team", "/sla/v1/agreements", agreement_form(sla))
    assert stranger.status_code == 404
    assert (await sla.get("other.om_team", f"/sla/v1/agreements/{agreement['id']}")).status_code == 404
    assert (await sla.get("other.om_team", "/sla/v1/agreements")).json()["items"] == []


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


async def test_only_the_customers_business_owner_determines_a_review(sla):
    registered = await register_sla(sla)
    path = f"/sla/v1/slas/{registered['id']}/review"
    review = (await sla.get("provider.om_team", path)).json()
    assert (review["due"], review["state"], review["is_overdue"]) == ("2027-10-01", "open", False)
    form = {"outcome": "no_change", "rationale": "All targets were met."}
    for member, code in (
        ("provider.business_owner", "other_party"),
        ("customer.om_team", "role_required"),
        ("observer.om_team", "role_required"),
    ):
        refused = await sla.post(member, f"{path}/determine", form, version=review["version"])
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    stranger = await sla.post("other.business_owner", f"{path}/determine", form, version=review["version"])
    assert stranger.status_code == 404
    done = await sla.post("customer.business_owner", f"{path}/determine", form, version=review["version"])
    assert (done.status_code, done.json()["state"], done.json()["outcome"]) == (200, "closed", "no_change")
    following = (await sla.get("customer.om_team", path)).json()
    assert (following["due"], following["state"]) == ("2027-11-10", "open")
    event = (await sla.events(SlaReviewDetermined))[-1]
    assert (str(event.sla_id), event.outcome) == (registered["id"], "no_change")


async def test_a_determination_needs_a_rationale_and_the_etag_of_the_review(sla):
    registered = await register_sla(sla)
    path = f"/sla/v1/slas/{registered['id']}/review/determine"
    form = {"outcome": "amend", "rationale": "x"}
    assert (await sla.post("customer.business_owner", path, form)).status_code == 428
    assert (await sla.post("customer.business_owner", path, form, version=9)).status_code == 412
    empty = await sla.post("customer.business_owner", path, form | {"rationale": ""}, version=0)
    assert empty.status_code == 422


async def test_an_unreviewed_agreement_is_announced_and_then_overdue_exactly_once(start_service):
    async with start_service("sla") as service:
        agreement = await register_agreement(service)
        for day in (datetime(2027, 7, 4, tzinfo=UTC), datetime(2027, 9, 2, tzinfo=UTC)):
            service.clock.set(day)
            await service.drain()
        left = [event.days_left for event in await service.events(AgreementReviewDueSoon)]
        assert left == [90, 30]
        service.clock.set(datetime(2027, 10, 2, 3, 59, tzinfo=UTC))
        await service.drain()
        assert await service.events(AgreementReviewOverdue) == []
        service.clock.set(datetime(2027, 10, 2, 4, 0, tzinfo=UTC))
        await service.drain()
        await service.drain()
        [overdue] = await service.events(AgreementReviewOverdue)
        assert (str(overdue.agreement_id), str(overdue.due)) == (agreement["id"], "2027-10-01")
        path = f"/sla/v1/agreements/{agreement['id']}/review"
        review = (await service.get("customer.om_team", path)).json()
        assert review["is_overdue"]
        form = {"outcome": "renew", "rationale": "Option exercised."}
        done = await service.post(
            "customer.business_owner", f"{path}/determine", form, version=review["version"]
        )
        assert done.status_code == 200
        [determined] = await service.events(AgreementReviewDetermined)
        assert str(determined.next_review_due) == "2028-10-01"
        await service.drain()
        assert len(await service.events(AgreementReviewOverdue)) == 1
