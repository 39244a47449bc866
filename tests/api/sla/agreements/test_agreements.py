"""Agreements over HTTP."""

from collections.abc import AsyncIterator

import pytest

from shared.contracts.sla import (
    AgreementRegistered,
)
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


async def test_the_provider_registers_no_agreement_and_a_stranger_sees_none(sla):
    agreement = await register_agreement(sla)
    refused = await sla.post("provider.om_team", "/sla/v1/agreements", agreement_form(sla))
    assert (refused.status_code, refused.json()["code"]) == (403, "other_party")
    stranger = await sla.post("other.om_team", "/sla/v1/agreements", agreement_form(sla))
    assert stranger.status_code == 404
    assert (await sla.get("other.om_team", f"/sla/v1/agreements/{agreement['id']}")).status_code == 404
    assert (await sla.get("other.om_team", "/sla/v1/agreements")).json()["items"] == []
