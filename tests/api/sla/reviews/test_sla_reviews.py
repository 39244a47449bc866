"""Yearly reviews of agreements and SLAs over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from shared.contracts.sla import (
    AgreementRegistered,
    AgreementReviewDetermined,
    AgreementReviewDueSoon,
    AgreementReviewOverdue,
    SlaReviewDetermined,
)
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import register_agreement, register_sla


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
