"""Between two parties a service has one charter: the second is refused and told which one governs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.charter.charter_flow import (
    CHARTERS,
    SIGNATORIES,
    content,
    drafted,
    form,
    put_content,
    sign,
    signed_by_all,
)
from tests.conftest import StartService
from tests.support.harness import RunningService


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("charter", with_charter=False) as started:
        yield started


async def rewritten(s: RunningService, charter: dict[str, Any], *services: str) -> dict[str, Any]:
    """The draft, governing these services instead."""
    text = await content(s, charter) | {"services_in_scope": services}
    answer = await put_content(s, charter, text)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def opened(s: RunningService, *services: str) -> dict[str, Any]:
    """A charter of these services, open for signatures."""
    charter = await rewritten(s, await drafted(s), *services)
    answer = await s.post(
        "provider.om_team", f"{CHARTERS}/{charter['id']}/freeze", version=charter["version"]
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def signed_but_once(s: RunningService, charter: dict[str, Any]) -> str:
    """Everybody has signed but this signatory."""
    for member in SIGNATORIES[:-1]:
        assert (await sign(s, charter, member)).status_code == 200
    return SIGNATORIES[-1]


async def test_a_service_that_is_governed_is_found_and_cannot_be_frozen(s: RunningService) -> None:
    governing = await signed_by_all(s)
    [service] = (await content(s, governing))["services_in_scope"]
    charter = await rewritten(s, await drafted(s), "Travel", f" {service.upper()}")
    path = f"{CHARTERS}/{charter['id']}"

    validated = (await s.post("customer.om_team", f"{path}/validate")).json()["findings"]
    refused = await s.post("provider.om_team", f"{path}/freeze", version=charter["version"])

    for findings in (validated, refused.json()["errors"]):
        assert [(f["code"], f["pointer"]) for f in findings] == [("service_governed", "/services_in_scope/1")]
        assert governing["number"] in findings[0]["message"]
    assert (refused.status_code, refused.json()["code"]) == (422, "charter_invalid")


async def test_the_charter_that_governs_is_not_in_its_own_way(s: RunningService) -> None:
    charter = await signed_by_all(s)

    validated = await s.post("customer.om_team", f"{CHARTERS}/{charter['id']}/validate")

    assert validated.json()["findings"] == []


async def test_of_two_open_for_signature_the_later_is_refused_and_can_be_mended(s: RunningService) -> None:
    first, second = await opened(s, "Cloud hosting"), await opened(s, "Service desk", "Cloud hosting")
    for member in SIGNATORIES:
        assert (await sign(s, first, member)).status_code == 200

    refused = await sign(s, second, await signed_but_once(s, second))

    assert (refused.status_code, refused.json()["code"]) == (409, "service_governed")
    assert first["number"] in refused.json()["detail"]
    read = (await s.get("customer.om_team", f"{CHARTERS}/{second['id']}")).json()
    assert (read["state"], len(read["missing_signatories"])) == ("ratification", 1)
    reason = {"reason": "Cloud hosting has a charter."}
    draft = await s.post(
        "provider.business_owner", f"{CHARTERS}/{second['id']}/decline", reason, version=read["version"]
    )
    await rewritten(s, draft.json(), "Service desk")


async def test_two_signed_at_the_same_moment_leave_one_in_force(s: RunningService) -> None:
    charters = [await opened(s, "Payroll", "Time keeping"), await opened(s, "Time keeping", "Payroll")]
    last = [await signed_but_once(s, charter) for charter in charters]

    answers = await asyncio.gather(
        *(sign(s, charter, member) for charter, member in zip(charters, last, strict=True))
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    states = [(await s.get("customer.om_team", f"{CHARTERS}/{c['id']}")).json()["state"] for c in charters]
    assert sorted(states) == ["active", "ratification"]


async def test_other_parties_may_govern_the_same_service(s: RunningService) -> None:
    governing = await signed_by_all(s)
    text = await content(s, governing)
    other = form(s, provider_org_id=str(s.world.orgs["other"]), content=text, from_model=None)

    charter = (await s.post("customer.om_team", CHARTERS, other)).json()

    assert charter["findings_count"] == 0
    frozen_too = await s.post(
        "customer.om_team", f"{CHARTERS}/{charter['id']}/freeze", version=charter["version"]
    )
    assert frozen_too.status_code == 200, frozen_too.text
