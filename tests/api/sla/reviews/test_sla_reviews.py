"""Yearly reviews of agreements and SLAs over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.contracts.sla import (
    AgreementReviewCancelled,
    AgreementReviewDetermined,
    AgreementReviewDueSoon,
    AgreementReviewOverdue,
    SlaReviewCancelled,
    SlaReviewDetermined,
    SlaReviewOverdue,
)
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import register_agreement, register_sla, sla_form


@pytest.fixture(scope="module")
async def sla(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("sla") as service:
        yield service


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


async def test_an_unreviewed_agreement_is_due_soon_and_then_overdue_exactly_once(start_service):
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


def review_of(kind: str, row: dict[str, Any]) -> str:
    return f"/sla/v1/{kind}/{row['id']}/review"


async def determined(sla: RunningService, path: str, outcome: str) -> dict[str, Any]:
    review = (await sla.get("customer.om_team", path)).json()
    form = {"outcome": outcome, "rationale": "As discussed."}
    answer = await sla.post("customer.business_owner", f"{path}/determine", form, version=review["version"])
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_review_is_due_before_the_end_of_its_subject_must_be_decided(sla):
    agreement = await register_agreement(sla, end_date="2027-03-31", termination_days=30)
    levels = await register_sla(sla, agreement, end_date="2027-02-28")

    assert agreement["next_review_due"] == "2027-01-30"
    assert levels["next_review_due"] == "2026-12-30"
    for path, due in (
        (review_of("agreements", agreement), "2027-01-30"),
        (review_of("slas", levels), "2026-12-30"),
    ):
        assert (await sla.get("customer.om_team", path)).json()["due"] == due


async def test_the_day_an_instrument_names_counts_when_it_comes_first(sla):
    early = await register_agreement(
        sla, end_date="2027-03-31", termination_days=30, next_review_due="2026-12-15"
    )
    late = await register_agreement(
        sla, end_date="2027-03-31", termination_days=30, next_review_due="2027-02-15"
    )

    assert (early["next_review_due"], late["next_review_due"]) == ("2026-12-15", "2027-01-30")


async def test_a_review_ends_with_its_subject_and_is_never_overdue_after_it(start_service):
    async with start_service("sla") as service:
        agreement = await register_agreement(service, end_date="2027-03-31", termination_days=30)
        levels = await register_sla(service, agreement, end_date="2027-03-31")
        agreement_path, sla_path = review_of("agreements", agreement), review_of("slas", levels)
        await determined(service, agreement_path, "no_change")
        service.clock.set(datetime(2027, 2, 1, tzinfo=UTC))
        await service.drain()
        assert [str(e.sla_id) for e in await service.events(SlaReviewOverdue)] == [levels["id"]]

        service.clock.set(datetime(2027, 4, 1, 3, 59, tzinfo=UTC))
        await service.drain()
        assert await service.events(SlaReviewCancelled) == []
        for moment in (datetime(2027, 4, 1, 4, 0, tzinfo=UTC), datetime(2028, 12, 1, tzinfo=UTC)):
            service.clock.set(moment)
            await service.drain()

        [of_agreement] = await service.events(AgreementReviewCancelled)
        [of_sla] = await service.events(SlaReviewCancelled)
        assert (str(of_agreement.ended), str(of_agreement.due)) == ("2027-03-31", "2027-11-10")
        assert (str(of_sla.ended), str(of_sla.due)) == ("2027-03-31", "2027-01-30")
        assert await service.events(AgreementReviewDueSoon) == []
        assert await service.events(AgreementReviewOverdue) == []
        for path in (agreement_path, sla_path):
            review = (await service.get("customer.om_team", path)).json()
            assert (review["state"], review["outcome"]) == ("cancelled", None)
            form = {"outcome": "renew", "rationale": "Too late."}
            refused = await service.post(
                "customer.business_owner", f"{path}/determine", form, version=review["version"]
            )
            assert (refused.status_code, refused.json()["code"]) == (409, "not_allowed")


async def test_what_has_ended_before_it_is_registered_is_not_asked_about(start_service):
    async with start_service("sla") as service:
        agreement = await register_agreement(service, start_date="2020-10-01", end_date="2025-09-30")
        await service.drain()
        assert await service.events(AgreementReviewOverdue) == []
        review = (await service.get("customer.om_team", review_of("agreements", agreement))).json()
        assert review["state"] == "cancelled"


@pytest.mark.parametrize("kind", ["agreements", "slas"])
async def test_after_terminate_no_further_review_comes_due(start_service, kind):
    async with start_service("sla") as service:
        agreement = await register_agreement(service)
        row = agreement if kind == "agreements" else await register_sla(service, agreement)
        path = review_of(kind, row)

        closed = await determined(service, path, "terminate")

        assert (closed["state"], closed["outcome"], closed["rationale"]) == (
            "closed",
            "terminate",
            "As discussed.",
        )
        assert (await service.get("customer.om_team", path)).json() == closed
        assert (await service.get("customer.om_team", f"/sla/v1/{kind}/{row['id']}")).json()[
            "next_review_due"
        ] == row["next_review_due"]
        service.clock.set(datetime(2029, 9, 1, tzinfo=UTC))
        await service.drain()
        overdue = await service.events(AgreementReviewOverdue if kind == "agreements" else SlaReviewOverdue)
        assert [event for event in overdue if row["id"] in str(event)] == []


async def test_an_sla_under_an_agreement_that_has_ended_is_refused(start_service):
    async with start_service("sla") as service:
        agreement = await register_agreement(service, end_date="2027-03-31", termination_days=30)
        form = sla_form(agreement["id"], end_date="2027-03-31")
        service.clock.set(datetime(2027, 4, 1, 3, 59, tzinfo=UTC))
        last_day = await service.post("provider.om_team", "/sla/v1/slas", form)
        service.clock.set(datetime(2027, 4, 1, 4, 0, tzinfo=UTC))
        day_after = await service.post("provider.om_team", "/sla/v1/slas", form)

    assert last_day.status_code == 201, last_day.text
    assert (day_after.status_code, day_after.json()["code"]) == (409, "agreement_ended")
