"""Organizations: who registers them and who sees them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.contracts.charter import OrganizationRegistered
from tests.conftest import StartService
from tests.support.harness import RunningService

ORGANIZATIONS = "/charter/v1/organizations"


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("charter", with_charter=False) as started:
        yield started


async def test_a_platform_administrator_registers_an_organization(s: RunningService) -> None:
    answer = await s.post("sysadmin", ORGANIZATIONS, {"name": "Example Agency", "aid": "047"})

    assert answer.status_code == 201, answer.text
    assert answer.headers["ETag"] == '"1"'
    assert (await s.events(OrganizationRegistered))[-1].name == "Example Agency"
    read = await s.get("sysadmin", f"{ORGANIZATIONS}/{answer.json()['id']}")
    assert read.json() == answer.json()


async def test_a_member_cannot_register_an_organization(s: RunningService) -> None:
    answer = await s.post("customer.org_admin", ORGANIZATIONS, {"name": "Own Agency"})

    assert answer.status_code == 403


@pytest.mark.parametrize("form", [{"name": ""}, {"name": "x", "aid": "47"}, {"name": "x", "size": 3}, {}])
async def test_a_bad_organization_is_refused(s: RunningService, form: dict[str, Any]) -> None:
    assert (await s.post("sysadmin", ORGANIZATIONS, form)).status_code == 422


async def test_a_caller_sees_its_own_organization_and_no_stranger(s: RunningService) -> None:
    listed = await s.get("customer.om_team", ORGANIZATIONS)
    foreign = await s.get("customer.om_team", f"{ORGANIZATIONS}/{s.world.orgs['other']}")

    assert [item["id"] for item in listed.json()["items"]] == [str(s.world.orgs["customer"])]
    assert foreign.status_code == 404
