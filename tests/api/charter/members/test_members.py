"""The people of an organization: who keeps them, who sees them, and that nobody acts for two."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from concordat.embedded.issuer import ISSUER
from shared.contracts.charter import MemberChanged
from shared.contracts.governance import Role
from tests.api.charter.charter_flow import content, drafted, put_content
from tests.conftest import StartService
from tests.support.harness import RunningService

ORGANIZATIONS = "/charter/v1/organizations"


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("charter", with_charter=False) as started:
        yield started


def person(**changes: Any) -> dict[str, Any]:
    return {
        "issuer": "https://id.example.gov",
        "subject": uuid4().hex,
        "display_name": "Ann Lee",
        "roles": ["om_team", "business_owner", "om_team"],
    } | changes


def members(s: RunningService, side: str) -> str:
    return f"{ORGANIZATIONS}/{s.world.orgs[side]}/members"


async def test_an_org_admin_adds_a_member_and_everybody_is_told(s: RunningService) -> None:
    answer = await s.post("customer.org_admin", members(s, "customer"), person())

    assert answer.status_code == 201, answer.text
    assert answer.json()["roles"] == ["business_owner", "om_team"]
    event = (await s.events(MemberChanged))[-1]
    assert str(event.member_id) == answer.json()["id"]
    assert event.roles == (Role.business_owner, Role.om_team)
    assert event.active


async def test_a_person_belongs_to_one_organization_only(s: RunningService) -> None:
    form = person()
    await s.post("customer.org_admin", members(s, "customer"), form)

    twice = await s.post("provider.org_admin", members(s, "provider"), form)

    assert twice.status_code == 409
    assert twice.json()["code"] == "already_a_member"


@pytest.mark.parametrize(
    ("caller", "side", "status"),
    [
        ("customer.om_team", "customer", 403),
        ("customer.org_admin", "other", 404),
        ("sysadmin", "other", 201),
    ],
)
async def test_who_may_add_a_member(s: RunningService, caller: str, side: str, status: int) -> None:
    assert (await s.post(caller, members(s, side), person())).status_code == status


async def test_roles_change_with_the_right_version_only(s: RunningService) -> None:
    created = (await s.post("customer.org_admin", members(s, "customer"), person())).json()
    path = f"/charter/v1/members/{created['id']}"

    async def patch(version: str | None) -> int:
        headers = s.headers("customer.org_admin") | ({"If-Match": version} if version else {})
        answer = await s.client.patch(path, headers=headers, json={"roles": ["isso"]})
        return answer.status_code

    assert [await patch(None), await patch('"9"'), await patch('"1"'), await patch('"1"')] == [
        428,
        412,
        200,
        412,
    ]
    assert (await s.get("customer.om_team", path)).json()["roles"] == ["isso"]


async def test_a_removed_member_is_no_caller_any_more(s: RunningService) -> None:
    member = s.world.member("other.secretariat")
    assert (await s.get("other.secretariat", "/charter/v1/me")).status_code == 200

    removed = await s.post("other.org_admin", f"/charter/v1/members/{member}/remove", version=1)
    again = await s.post("other.org_admin", f"/charter/v1/members/{member}/remove", version=2)

    assert removed.json()["active"] is False
    assert again.json()["code"] == "member_removed"
    assert (await s.get("other.secretariat", "/charter/v1/me")).status_code == 403


async def removed(s: RunningService, side: str, form: dict[str, Any]) -> dict[str, Any]:
    """A person who was a member and left."""
    member = (await s.post(f"{side}.org_admin", members(s, side), form)).json()
    answer = await s.post(
        f"{side}.org_admin", f"/charter/v1/members/{member['id']}/remove", version=member["version"]
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.mark.parametrize("side", ["customer", "provider"])
async def test_who_has_left_can_come_back_to_any_organization(s: RunningService, side: str) -> None:
    form = person(issuer=ISSUER)
    former = await removed(s, "customer", form)

    again = await s.post(f"{side}.org_admin", members(s, side), form | {"roles": ["isso"]})

    assert again.status_code == 201, again.text
    assert again.json()["id"] != former["id"]
    me = (await s.get(form["subject"], "/charter/v1/me")).json()
    assert (me["member_id"], me["organization"]["id"]) == (again.json()["id"], str(s.world.orgs[side]))
    assert me["roles"] == ["isso"]
    old = (await s.get("customer.om_team", f"/charter/v1/members/{former['id']}")).json()
    assert (old["active"], old["version"]) == (False, former["version"])


async def test_a_person_wanted_by_two_organizations_at_once_gets_one_place(s: RunningService) -> None:
    form = person()
    await removed(s, "customer", form)

    answers = await asyncio.gather(
        *(
            s.post(f"{side}.org_admin", members(s, side), form)
            for side in ("customer", "provider", "customer")
        )
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]


async def test_a_foreign_member_looks_like_a_missing_one(s: RunningService) -> None:
    foreign = await s.get("customer.om_team", f"/charter/v1/members/{s.world.member('other.om_team')}")
    missing = await s.get("customer.om_team", f"/charter/v1/members/{uuid4()}")

    assert foreign.status_code == missing.status_code == 404
    assert foreign.json()["detail"] == missing.json()["detail"]


async def test_me_names_the_caller_and_its_organization(s: RunningService) -> None:
    me = (await s.get("customer.business_owner", "/charter/v1/me")).json()

    assert me["member_id"] == str(s.world.member("customer.business_owner"))
    assert me["organization"]["name"] == "Department of Example Services"
    assert me["roles"] == ["business_owner"]


async def test_me_of_a_platform_administrator_has_no_organization(s: RunningService) -> None:
    me = (await s.get("sysadmin", "/charter/v1/me")).json()

    assert (me["member_id"], me["organization"], me["is_sysadmin"]) == (None, None, True)


async def test_members_are_listed_page_by_page(s: RunningService) -> None:
    first = (await s.get("provider.om_team", members(s, "provider"), limit=4)).json()
    rest = (
        await s.get("provider.om_team", members(s, "provider"), limit=4, cursor=first["next_cursor"])
    ).json()

    assert len(first["items"]) == 4
    assert {m["id"] for m in first["items"]}.isdisjoint(m["id"] for m in rest["items"])
    assert (await s.get("customer.om_team", members(s, "provider"))).status_code == 404


async def test_to_be_named_in_a_draft_shows_an_organizations_name_but_not_its_people(
    start_service: StartService,
) -> None:
    """Anybody may draft with anybody: the people of the other side show once it acts on the charter itself."""
    async with start_service("charter", with_charter=False) as s:
        charter = await drafted(s)
        people = members(s, "provider")

        assert (await s.get("customer.om_team", people)).json()["items"] == []
        assert (await s.get("provider.om_team", members(s, "customer"))).json()["items"] != []

        text = await content(s, charter)
        assert (await put_content(s, charter, text, "provider.om_team")).status_code == 200
        assert (await s.get("customer.om_team", people)).json()["items"] != []
        assert (await s.get("customer.om_team", members(s, "observer"))).json()["items"] == []
