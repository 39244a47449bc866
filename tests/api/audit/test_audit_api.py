"""The audit routes: who sees which acts, evidence that the other party can check, keys for anybody."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from concordat.cli.verify import examine
from shared.audit.keys import VerifyingKey
from shared.audit.sealer import CHECKPOINT_AGE, CHECKPOINT_ROWS
from shared.contracts.audit import AuditCheckpointed
from shared.contracts.base import Scope
from tests.conftest import StartService
from tests.support.alerting import LOCAL
from tests.support.auditing import act, exported, scope_of, seal, verdicts, webhooks
from tests.support.harness import RunningService

AUDIT = "/changes/v1/audit"
SHARED, CUSTOMER, PROVIDER, PLATFORM = 5, 2, 1, 3


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    """Acts of the charter that everybody, one party, or only the platform's administrator may see."""
    async with start_service("changes") as running:
        for scope, times in (
            (scope_of(running), SHARED),
            (scope_of(running, "customer"), CUSTOMER),
            (scope_of(running, "provider"), PROVIDER),
            (Scope(), PLATFORM),
        ):
            await act(running, scope, times)
        running.clock.advance(CHECKPOINT_AGE)
        await running.drain()
        yield running


@pytest.mark.parametrize(
    ("member", "visible"),
    [
        ("customer.om_team", SHARED + CUSTOMER),
        ("provider.business_owner", SHARED + PROVIDER),
        ("observer.observer", SHARED),
        ("other.isso", 0),
        ("sysadmin", PLATFORM),
    ],
)
async def test_everybody_sees_the_acts_of_their_own_charters_only(
    service: RunningService, member: str, visible: int
) -> None:
    answer = await service.get(member, AUDIT)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["items"]) == visible


async def test_a_member_without_a_role_reads_no_audit(service: RunningService) -> None:
    async with service.kernel.database.system() as session:
        await session.execute(
            text("UPDATE member SET roles = '{}' WHERE id = :id"),
            {"id": service.world.member("customer.secretariat")},
        )
    answer = await service.get("customer.secretariat", AUDIT)
    assert (answer.status_code, answer.json()["code"]) == (403, "role_required")


async def test_an_entry_carries_the_text_that_was_hashed_and_its_seal(service: RunningService) -> None:
    entries = (await service.get("customer.om_team", AUDIT, visibility="customer")).json()["items"]
    assert [entry["seq"] for entry in entries] == [2, 1]
    assert {entry["visibility"] for entry in entries} == {"customer"}
    entry = entries[0]
    assert len(entry["hash"]) == 64
    assert json.loads(entry["canonical"])["object"]["id"] == entry["object_id"]
    assert entry["charter_id"] == str(service.world.charter_id)


async def test_an_act_is_visible_before_it_is_sealed(service: RunningService) -> None:
    scope = scope_of(service, "provider")
    await act(service, scope)
    newest = (await service.get("provider.isso", AUDIT, limit=1)).json()["items"][0]
    assert (newest["seq"], newest["hash"]) == (None, None)
    await seal(service)
    newest = (await service.get("provider.isso", AUDIT, limit=1)).json()["items"][0]
    assert newest["seq"] == PROVIDER + 1


async def test_one_object_has_a_trail_of_its_own(service: RunningService) -> None:
    some = (await service.get("customer.isso", AUDIT)).json()["items"][3]
    entries = (await service.get("customer.isso", AUDIT, object_id=some["object_id"])).json()["items"]
    assert entries == [some]


async def test_pages_follow_the_cursor(service: RunningService) -> None:
    seen, cursor = [], None
    while True:
        page = await service.get("customer.isso", AUDIT, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += [entry["object_id"] for entry in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
        assert 'rel="next"' in page.headers["link"]
        foreign = await service.get("provider.isso", AUDIT, cursor=cursor)
        assert foreign.json()["code"] == "foreign_cursor"
    assert len(seen) == len(set(seen)) == SHARED + CUSTOMER


async def test_a_chain_is_followed_by_number_without_a_gap(service: RunningService) -> None:
    charter, seen = str(service.world.charter_id), [0]
    while True:
        page = await service.get(
            "customer.isso", AUDIT, charter_id=charter, since_seq=seen[-1], limit=2, visibility="shared"
        )
        numbers = [entry["seq"] for entry in page.json()["items"]]
        if not numbers:
            break
        seen += numbers
    assert seen == list(range(SHARED + 1))


async def test_numbers_count_per_charter(service: RunningService) -> None:
    answer = await service.get("customer.isso", AUDIT, since_seq=0)
    assert (answer.status_code, answer.json()["code"]) == (400, "since_seq_needs_charter")
    too_far = await service.get(
        "customer.isso", AUDIT, since_seq=10**30, charter_id=str(service.world.charter_id)
    )
    assert too_far.status_code == 422


@pytest.mark.parametrize(
    ("member", "visibility", "rows"),
    [
        ("customer.isso", "shared", SHARED),
        ("customer.isso", "customer", CUSTOMER),
        ("observer.observer", "shared", SHARED),
    ],
)
async def test_an_export_is_verified_offline_with_the_published_key_and_the_events_kept_elsewhere(
    service: RunningService, tmp_path: Path, member: str, visibility: str, rows: int
) -> None:
    key = tmp_path / "key.pem"
    key.write_text((await service.client.get(f"{AUDIT}/keys")).json()["items"][0]["public_key"])
    kept = webhooks(tmp_path, await service.envelopes(AuditCheckpointed))
    verdict = examine(await exported(service, tmp_path, member, visibility=visibility), kept, [key])
    assert verdicts(verdict) == ("holds", "holds")
    assert (verdict.report.rows, verdict.report.anchored) == (rows, rows)


async def test_the_platforms_own_acts_are_exported_by_its_administrator(
    service: RunningService, tmp_path: Path
) -> None:
    nil = "00000000-0000-0000-0000-000000000000"
    verdict = examine(await exported(service, tmp_path, "sysadmin", charter_id=nil))
    assert (verdicts(verdict), verdict.report.rows) == (("holds", "holds"), PLATFORM)


@pytest.mark.parametrize(
    ("member", "visibility"),
    [
        ("other.isso", "shared"),
        ("provider.isso", "customer"),
        ("customer.isso", "provider"),
        ("observer.observer", "customer"),
        ("sysadmin", "shared"),
    ],
)
async def test_a_foreign_chain_reads_like_a_missing_one(
    service: RunningService, member: str, visibility: str
) -> None:
    answer = await service.get(
        member, f"{AUDIT}/export", charter_id=str(service.world.charter_id), visibility=visibility
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_an_export_is_a_download_of_json_lines(service: RunningService) -> None:
    answer = await service.get("customer.isso", f"{AUDIT}/export", charter_id=str(service.world.charter_id))
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["content-disposition"].startswith('attachment; filename="audit-changes-')
    kinds = [json.loads(line)["kind"] for line in answer.text.splitlines()]
    assert kinds == ["header", "key", "checkpoint", *["row"] * SHARED, "end"]


async def test_rows_that_no_checkpoint_covers_are_exported_and_named(
    start_service: StartService, tmp_path: Path
) -> None:
    async with start_service("changes") as fresh:
        await act(fresh, scope_of(fresh), CHECKPOINT_ROWS + 2)
        await fresh.drain()
        await act(fresh, scope_of(fresh))
        verdict = examine(await exported(fresh, tmp_path))
        assert verdicts(verdict) == ("holds", "holds")
        assert (verdict.report.last, verdict.report.anchored) == (CHECKPOINT_ROWS + 2, CHECKPOINT_ROWS)


async def test_the_keys_are_for_anybody(service: RunningService) -> None:
    [key] = (await service.client.get(f"{AUDIT}/keys")).json()["items"]
    assert key["current"]
    assert VerifyingKey.from_pem(key["public_key"]).key_id == key["key_id"]


async def test_no_token_no_audit(service: RunningService) -> None:
    for path in (AUDIT, f"{AUDIT}/export?charter_id={service.world.charter_id}"):
        assert (await service.client.get(path)).status_code == 401


async def test_what_another_member_may_not_see_is_not_in_the_list_of_the_charter(
    service: RunningService,
) -> None:
    charter = str(service.world.charter_id)
    entries = (await service.get("provider.isso", AUDIT, charter_id=charter)).json()["items"]
    assert {entry["visibility"] for entry in entries} == {"shared", "provider"}


async def test_an_organization_follows_and_exports_its_own_affairs_which_no_other_sees(
    start_service: StartService, tmp_path: Path
) -> None:
    async with start_service("notifier", **LOCAL) as s:
        form = {"name": "tickets", "url": "https://tickets.example.gov/hook", "template": "cloudevents"}
        assert (await s.post("provider.om_team", "/notifier/v1/endpoints", form)).status_code == 201
        s.clock.advance(CHECKPOINT_AGE)
        await s.drain()
        own = str(s.world.orgs["provider"])
        [entry] = (await s.get("provider.isso", "/notifier/v1/audit", charter_id=own)).json()["items"]
        assert (entry["action"], entry["chain"], entry["charter_id"]) == ("endpoint.create", own, None)
        verdict = examine(await exported(s, tmp_path, "provider.isso", charter_id=own))
        assert (verdicts(verdict), verdict.report.rows) == (("holds", "holds"), 1)
        for stranger in ("customer.isso", "observer.observer", "other.isso"):
            assert (await s.get(stranger, "/notifier/v1/audit")).json()["items"] == []
            export = await s.get(stranger, "/notifier/v1/audit/export", charter_id=own)
            assert (export.status_code, export.json()["code"]) == (404, "not_found")
