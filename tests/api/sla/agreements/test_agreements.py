"""Agreements over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.contracts.sla import (
    AgreementRegistered,
)
from shared.data.directory import keep_activated
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.sla import agreement_form, register_agreement


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
        ({"gtc_number": "A2613-990-991-000123"}, "/gtc_number"),
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


async def under_another_charter(sla: RunningService, **parties: str) -> str:
    """The id of a second charter in force, between other organizations of the world."""
    named = {f"{side}_org_id": sla.world.orgs[org] for side, org in parties.items()}
    activation = sla.world.activation().model_copy(update={"charter_id": uuid7(), **named})
    async with sla.kernel.database.system() as session:
        await keep_activated(session, activation)
    return str(activation.charter_id)


async def test_a_gtc_number_names_one_agreement_of_a_customer(sla):
    form = agreement_form(sla)
    first = await sla.post("customer.om_team", "/sla/v1/agreements", form)

    again = await sla.post("customer.om_team", "/sla/v1/agreements", form | {"title": "The same once more"})
    elsewhere = await under_another_charter(sla, provider="other")
    other_provider = await sla.post(
        "customer.om_team", "/sla/v1/agreements", form | {"charter_id": elsewhere}
    )
    own = await under_another_charter(sla, customer="observer")
    other_customer = await sla.post("observer.om_team", "/sla/v1/agreements", form | {"charter_id": own})

    assert first.status_code == 201, first.text
    assert (again.status_code, again.json()["code"]) == (409, "gtc_number_taken")
    assert [error["pointer"] for error in again.json()["errors"]] == ["/gtc_number"]
    assert (other_provider.status_code, other_provider.json()["code"]) == (409, "gtc_number_taken")
    assert other_customer.status_code == 201, other_customer.text


async def test_a_gtc_number_registered_by_many_at_once_is_taken_once(sla):
    form = agreement_form(sla)

    answers = await asyncio.gather(
        *(sla.post("customer.om_team", "/sla/v1/agreements", form) for _ in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    numbers = [answer.json()["number"] for answer in answers if answer.status_code == 201]
    listed = (await sla.get("customer.om_team", "/sla/v1/agreements", limit=1)).json()["items"]
    assert [item["number"] for item in listed] == numbers


async def test_contracts_and_memoranda_have_no_gtc_number_to_share(sla):
    form = agreement_form(sla, kind="CONTRACT", gtc_number=None)
    answers = [await sla.post("customer.om_team", "/sla/v1/agreements", form) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]


async def test_the_provider_registers_no_agreement_and_a_stranger_sees_none(sla):
    agreement = await register_agreement(sla)
    refused = await sla.post("provider.om_team", "/sla/v1/agreements", agreement_form(sla))
    assert (refused.status_code, refused.json()["code"]) == (403, "other_party")
    stranger = await sla.post("other.om_team", "/sla/v1/agreements", agreement_form(sla))
    assert stranger.status_code == 404
    assert (await sla.get("other.om_team", f"/sla/v1/agreements/{agreement['id']}")).status_code == 404
    assert (await sla.get("other.om_team", "/sla/v1/agreements")).json()["items"] == []
