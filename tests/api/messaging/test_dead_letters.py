"""Operators list, show, replay and discard what a service set aside; members of organizations cannot."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from shared.contracts.charter import MemberChanged, OrganizationRegistered
from shared.contracts.governance import Role
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered
from tests.conftest import StartService
from tests.support.harness import RunningService

PATH = "/changes/v1/dead_letters"


@pytest.fixture(scope="module")
async def changes(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


async def poison(service: RunningService, offset: int) -> None:
    assert service.kernel.consumer is not None
    await service.kernel.consumer.handle(
        Delivered("concordat.charter", 0, offset, b"k", b"\xff not json", {})
    )


async def letters(service: RunningService, **params: object) -> list[dict[str, object]]:
    answer = await service.get("sysadmin", PATH, **params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_poison_is_listed_shown_and_discarded_with_a_reason(changes: RunningService) -> None:
    await poison(changes, 1001)
    letter = next(x for x in await letters(changes) if x["offset"] == 1001)
    shown = await changes.get("sysadmin", f"{PATH}/{letter['id']}")
    assert shown.json() == letter
    assert "value" not in letter
    refused = await changes.post("sysadmin", f"{PATH}/discard", {"ids": [letter["id"]], "reason": ""})
    assert refused.status_code == 422
    done = await changes.post("sysadmin", f"{PATH}/discard", {"ids": [letter["id"]], "reason": "not ours"})
    assert done.json() == {"ids": [letter["id"]]}
    assert letter["id"] in {x["id"] for x in await letters(changes, state="discarded")}
    async with changes.kernel.database.system() as session:
        audited = await session.execute(
            text("SELECT canonical FROM audit WHERE action = 'dead_letter.discard'")
        )
        assert "not ours" in audited.scalars().one()


async def as_owner(service: RunningService, statement: str) -> None:
    """Change the schema as its owner does."""
    url = service.kernel.settings.migration_url
    assert url is not None
    connection = await asyncpg.connect(url.get_secret_value(), server_settings={"search_path": service.name})
    await connection.execute(statement)
    await connection.close()


async def test_a_dry_run_changes_nothing_and_a_replay_heals(changes: RunningService) -> None:
    """A member whom a constraint refuses cannot be stored until the constraint is gone."""
    org = uuid7()
    await as_owner(changes, "ALTER TABLE member ADD CONSTRAINT no_clash CHECK (display_name <> 'Clash')")
    clash = MemberChanged(
        member_id=uuid7(),
        org_id=org,
        issuer="https://concordat.invalid/development",
        subject="somebody.new",
        display_name="Clash",
        roles=(Role.om_team,),
        active=True,
    )
    organization = OrganizationRegistered(org_id=org, name="New")
    await changes.publish(organization, aggregate_id=org)
    for _ in range(10):
        try:
            await changes.publish(clash, aggregate_id=clash.member_id)
            break
        except Exception:
            continue
    waiting = await letters(changes, aggregate_id=str(clash.member_id))
    assert len(waiting) == 1
    body = {"aggregate_id": str(clash.member_id)}
    tried = await changes.post("sysadmin", f"{PATH}/replay", body | {"dry_run": True})
    assert tried.json()["items"][0]["result"] == "failed"
    await as_owner(changes, "ALTER TABLE member DROP CONSTRAINT no_clash")
    tried = await changes.post("sysadmin", f"{PATH}/replay", body | {"dry_run": True})
    assert tried.json()["items"][0]["result"] == "would_replay"
    assert await letters(changes, aggregate_id=str(clash.member_id))
    done = await changes.post("sysadmin", f"{PATH}/replay", body)
    assert done.json()["items"][0]["result"] == "replayed"
    assert await letters(changes, aggregate_id=str(clash.member_id)) == []


@pytest.mark.parametrize("member", ["provider.org_admin", "other.business_owner", "observer.observer"])
async def test_members_of_organizations_are_refused(changes: RunningService, member: str) -> None:
    assert (await changes.get(member, PATH)).status_code == 403
    assert (await changes.post(member, f"{PATH}/replay", {"aggregate_id": str(uuid7())})).status_code == 403


async def test_a_letter_that_does_not_exist_is_not_found(changes: RunningService) -> None:
    assert (await changes.get("sysadmin", f"{PATH}/{uuid7()}")).status_code == 404
