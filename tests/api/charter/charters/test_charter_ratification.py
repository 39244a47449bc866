"""From the model text to a charter in force, and every way in which that is refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.charter.charters.domain.text import LARGEST_TEXT
from shared.contracts.charter import (
    CharterActivated,
    CharterDeclined,
    CharterDrafted,
    CharterEdited,
    CharterRatificationOpened,
    CharterSigned,
)
from shared.contracts.governance import Party
from shared.data.directory import governance
from shared.pure.canonical import canonical_json, content_hash
from tests.api.charter.charter_flow import (
    CHARTERS,
    SIGNATORIES,
    content,
    drafted,
    form,
    frozen,
    put_content,
    sign,
    signed_by_all,
)
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.world import START


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("charter", with_charter=False) as started:
        yield started


@pytest.fixture
def s(service: RunningService) -> RunningService:
    service.clock.set(START)
    return service


async def test_a_charter_goes_from_the_model_through_an_edit_to_four_signatures_and_into_force(
    s: RunningService,
) -> None:
    charter = await drafted(s)
    assert (charter["state"], charter["findings_count"], charter["signatures"]) == ("draft", 0, [])
    assert charter["number"].startswith("CHA-FY27-")

    edited = (await content(s, charter)) | {"title": "Charter of two agencies"}
    charter = (await put_content(s, charter, edited)).json()
    path = f"{CHARTERS}/{charter['id']}"
    charter = (await s.post("customer.om_team", f"{path}/freeze", version=charter["version"])).json()
    assert charter["state"] == "ratification"
    assert len(charter["missing_signatories"]) == 4

    for left, member in zip((3, 2, 1, 0), SIGNATORIES, strict=True):
        answer = await sign(s, charter, member)
        assert len(answer.json()["missing_signatories"]) == left

    assert answer.json()["state"] == "active"
    activated = (await s.events(CharterActivated))[-1]
    assert str(activated.charter_id) == charter["id"]
    assert activated.content["title"] == "Charter of two agencies"
    assert content_hash(activated.content) == activated.content_hash == charter["content_hash"]
    assert activated.observer_org_ids == (s.world.orgs["observer"],)


async def test_every_step_publishes_its_event_with_a_version_of_its_own(s: RunningService) -> None:
    charter = await signed_by_all(s)

    kinds = (CharterDrafted, CharterRatificationOpened, CharterSigned, CharterActivated)
    envelopes = [e for kind in kinds for e in await s.envelopes(kind) if e["subject"] == charter["id"]]
    assert [e["sequence"] for e in envelopes] == list(range(1, charter["version"] + 1))
    assert {e["customerorgid"] for e in envelopes} == {str(s.world.orgs["customer"])}


async def test_the_published_text_has_the_published_hash(s: RunningService) -> None:
    charter = await drafted(s)

    assert content_hash(await content(s, charter)) == charter["content_hash"]


async def test_a_text_that_was_read_can_be_put_back_unchanged(s: RunningService) -> None:
    charter = await drafted(s)

    answer = await put_content(s, charter, await content(s, charter))

    assert answer.status_code == 200, answer.text
    assert answer.json()["content_hash"] == charter["content_hash"]
    assert str((await s.events(CharterEdited))[-1].charter_id) == charter["id"]


async def test_a_charter_can_start_from_a_whole_text(s: RunningService) -> None:
    whole = await content(s, await drafted(s))

    answer = await s.post("provider.business_owner", CHARTERS, form(s, content=whole, from_model=None))

    assert answer.status_code == 201, answer.text
    assert answer.json()["content_hash"] == content_hash(whole)


def grown(text: dict[str, Any], size: int) -> dict[str, Any]:
    """The text, made exactly so many bytes long by outcomes that say a lot."""
    filled = text | {"outcomes": []}
    missing = size - len(canonical_json(filled))
    lengths = [4000] * (missing // 4003) + [missing % 4003 - 2]
    return filled | {"outcomes": ["x" * length for length in lengths]}


async def test_a_text_too_large_to_be_told_is_found_before_anybody_signs(s: RunningService) -> None:
    charter = await drafted(s)
    text = await content(s, charter)

    written = await put_content(s, charter, grown(text, LARGEST_TEXT + 1))
    findings = (await s.post("customer.om_team", f"{CHARTERS}/{charter['id']}/validate")).json()["findings"]
    refused = await s.post(
        "provider.om_team", f"{CHARTERS}/{charter['id']}/freeze", version=written.json()["version"]
    )

    assert (written.status_code, written.json()["findings_count"]) == (200, 1)
    assert [(fault["code"], fault["pointer"]) for fault in findings] == [("text_too_large", "")]
    assert (refused.status_code, refused.json()["code"]) == (422, "charter_invalid")


async def test_the_largest_text_that_may_be_signed_comes_into_force(s: RunningService) -> None:
    charter = await drafted(s)
    largest = grown(await content(s, charter), LARGEST_TEXT)
    charter = (await put_content(s, charter, largest)).json()
    path = f"{CHARTERS}/{charter['id']}"
    charter = (await s.post("provider.om_team", f"{path}/freeze", version=charter["version"])).json()

    for member in SIGNATORIES:
        charter = (await sign(s, charter, member)).json()

    assert charter["state"] == "active"
    assert len((await s.get("customer.om_team", f"{path}/text")).content) == LARGEST_TEXT


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"from_model": None}, "invalid"),
        ({"surprise": 1}, "invalid"),
        ({"customer_org_id": "provider"}, "same_organization"),
        ({"provider_org_id": str(uuid4())}, "unknown_organization"),
        ({"observer_org_ids": ["customer"]}, "observer_is_party"),
        ({"customer_org_id": "other"}, "not_a_party"),
    ],
)
async def test_a_bad_draft_is_refused(s: RunningService, changes: dict[str, Any], code: str) -> None:
    def named(value: Any) -> Any:
        if isinstance(value, list):
            return [named(item) for item in value]
        return str(s.world.orgs.get(value, value)) if isinstance(value, str) else value

    body = form(s, **{key: named(value) for key, value in changes.items()})
    answer = await s.post("customer.om_team", CHARTERS, body)

    assert (answer.status_code, answer.json()["code"]) == (422, code)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("effective_date",), "9999-12-31"),
        (("title",), "a\u0000b"),
        (("calendars", 0, "hours", 0, "opens"), "08:00:00Z"),
        (("decision_rights", 0, "amount"), 25000.5),
        (("decision_rights", 0, "amount"), "NaN"),
        (("bodies", 0, "tier"), "1"),
        (("bodies", 0, "colour"), "red"),
        (("bodies", 0, "seats", 0, "member_id"), "somebody"),
    ],
)
async def test_a_text_of_the_wrong_shape_is_refused(
    s: RunningService, path: tuple[str | int, ...], value: Any
) -> None:
    charter = await drafted(s)
    whole: Any = await content(s, charter)
    node = whole
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value

    answer = await put_content(s, charter, whole)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "".join(f"/{step}" for step in path)


async def test_an_invalid_text_may_be_drafted_and_validated_but_not_frozen(s: RunningService) -> None:
    charter = await drafted(s)
    path = f"{CHARTERS}/{charter['id']}"
    broken = (await content(s, charter)) | {"authority": "", "outcomes": [], "ladder": []}
    charter = (await put_content(s, charter, broken)).json()

    validation = (await s.post("observer.observer", f"{path}/validate")).json()
    refused = await s.post("customer.om_team", f"{path}/freeze", version=charter["version"])

    assert charter["findings_count"] == len(validation["findings"]) > 3
    assert (refused.status_code, refused.json()["code"]) == (422, "charter_invalid")
    assert refused.json()["errors"] == validation["findings"]


async def test_a_seat_must_be_held_by_a_member_of_its_party(s: RunningService) -> None:
    charter = await drafted(s)
    text_ = await content(s, charter)
    seat = text_["bodies"][4]["seats"][0]
    seat["member_id"] = str(s.world.member("customer.executive_sponsor"))
    seat["alternate_id"] = str(s.world.member("provider.executive_sponsor"))
    charter = (await put_content(s, charter, text_)).json()

    refused = (await s.post("customer.om_team", f"{CHARTERS}/{charter['id']}/validate")).json()["findings"]

    assert [(f["code"], f["pointer"]) for f in refused] == [
        ("not_a_member", "/bodies/4/seats/0/alternate_id")
    ]


async def test_a_frozen_text_stands_still(s: RunningService) -> None:
    charter = await frozen(s)

    answer = await put_content(s, charter, await content(s, charter))

    assert (answer.status_code, answer.json()["code"]) == (409, "not_allowed")


async def test_a_wrong_hash_is_refused_and_the_right_one_named(s: RunningService) -> None:
    charter = await frozen(s)

    answer = await sign(s, charter, SIGNATORIES[0], content_hash="0" * 64)

    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_content_hash")
    assert charter["content_hash"] in answer.json()["detail"]


async def test_one_party_cannot_ratify_alone(s: RunningService) -> None:
    charter = await frozen(s)
    for member in SIGNATORIES[:2]:
        charter = (await sign(s, charter, member)).json()

    assert charter["state"] == "ratification"
    assert {m["party"] for m in charter["missing_signatories"]} == {"provider"}
    again = await sign(s, charter, SIGNATORIES[0])
    assert (again.status_code, again.json()["code"]) == (409, "already_signed")


async def test_a_signatory_signs_only_in_a_role_of_its_own(s: RunningService) -> None:
    charter = await frozen(s)

    foreign_role = await sign(s, charter, SIGNATORIES[0], role="executive_sponsor")
    no_signatory = await sign(s, charter, "customer.om_team", role="business_owner")

    assert (foreign_role.status_code, no_signatory.status_code) == (403, 403)


async def test_one_person_with_both_roles_signs_once(s: RunningService) -> None:
    member = s.world.member("provider.secretariat")
    headers = s.headers("provider.org_admin") | {"If-Match": '"1"'}
    roles = {"roles": ["business_owner", "executive_sponsor"]}
    await s.client.patch(f"/charter/v1/members/{member}", headers=headers, json=roles)
    charter = await frozen(s)

    first = await sign(s, charter, "provider.secretariat", role="business_owner")
    second = await sign(s, charter, "provider.secretariat", role="executive_sponsor")

    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (409, "already_signed")


async def test_a_decline_voids_the_signatures_and_opens_the_text_again(s: RunningService) -> None:
    charter = await frozen(s)
    charter = (await sign(s, charter, SIGNATORIES[0])).json()
    path = f"{CHARTERS}/{charter['id']}"

    body = {"reason": "Tier 2 is too high."}
    declined = await s.post(SIGNATORIES[2], f"{path}/decline", body, version=charter["version"])

    assert declined.json()["state"] == "draft"
    assert declined.json()["signatures"] == []
    event = (await s.events(CharterDeclined))[-1]
    assert (event.party, event.reason) == (Party.provider, "Tier 2 is too high.")
    version = declined.json()["version"]
    charter = (await s.post("customer.om_team", f"{path}/freeze", version=version)).json()
    assert len(charter["missing_signatories"]) == 4
    assert (await sign(s, charter, SIGNATORIES[0])).status_code == 200


async def test_a_charter_signed_early_takes_effect_on_its_day_in_its_own_zone(s: RunningService) -> None:
    charter = await signed_by_all(s, effective="2026-12-01")
    path = f"{CHARTERS}/{charter['id']}"
    assert (charter["state"], charter["activates_at"]) == ("ratification", "2026-12-01T05:00:00Z")
    declined = await s.post(SIGNATORIES[0], f"{path}/decline", {"reason": "x"}, version=charter["version"])
    assert declined.json()["code"] == "already_ratified"

    s.clock.set(datetime(2026, 12, 1, 4, 59, tzinfo=UTC))
    await s.drain()
    assert (await s.get(SIGNATORIES[0], path)).json()["state"] == "ratification"
    s.clock.set(datetime(2026, 12, 1, 5, 0, tzinfo=UTC))
    await s.drain()
    await s.drain()

    assert (await s.get(SIGNATORIES[0], path)).json()["state"] == "active"
    mine = [e for e in await s.events(CharterActivated) if str(e.charter_id) == charter["id"]]
    assert len(mine) == 1


async def test_a_charter_that_cannot_take_effect_keeps_no_other_from_it(s: RunningService) -> None:
    s.clock.set(datetime(2026, 12, 1, 6, tzinfo=UTC))
    broken, sound = [await signed_by_all(s, effective="2026-12-02") for _ in range(2)]
    async with s.kernel.database.system() as session:
        await session.execute(
            text("UPDATE charter SET state = 'terminated' WHERE id = :id"), {"id": broken["id"]}
        )
    s.clock.set(datetime(2026, 12, 2, 6, tzinfo=UTC))
    await s.drain()

    assert (await s.get(SIGNATORIES[0], f"{CHARTERS}/{sound['id']}")).json()["state"] == "active"
    (postponed,) = (await s.get("sysadmin", "/charter/v1/due")).json()["items"]
    assert (postponed["kind"], postponed["subject_id"]) == ("charter.activation", broken["id"])


async def test_the_service_itself_knows_the_charter_in_force(s: RunningService) -> None:
    charter = await signed_by_all(s)

    async with s.kernel.database.system() as session:
        known = await governance(session, charter["id"])

    assert (known.number, known.content_hash) == (charter["number"], charter["content_hash"])


async def test_a_ratified_version_can_be_read_and_a_draft_has_none(s: RunningService) -> None:
    active, draft = await signed_by_all(s), await drafted(s)

    ratified = await s.get("observer.observer", f"{CHARTERS}/{active['id']}/content", charter_version=1)
    none = await s.get("observer.observer", f"{CHARTERS}/{draft['id']}/content", charter_version=1)

    assert content_hash(ratified.json()) == active["content_hash"]
    assert none.status_code == 404


async def test_a_stranger_finds_no_charter(s: RunningService) -> None:
    charter = await frozen(s)
    path = f"{CHARTERS}/{charter['id']}"

    reads = [await s.get("other.business_owner", f"{path}{tail}") for tail in ("", "/content", "/review")]
    writes = [
        await s.post("other.business_owner", f"{path}/decline", {"reason": "x"}, version=charter["version"]),
        await s.post("other.om_team", f"{path}/freeze", version=charter["version"]),
        await sign(s, charter, "other.business_owner"),
    ]

    assert {answer.status_code for answer in reads + writes} == {404}
    assert (await s.get("other.business_owner", CHARTERS)).json()["items"] == []


async def test_an_observer_reads_but_cannot_write(s: RunningService) -> None:
    charter = await drafted(s)
    path = f"{CHARTERS}/{charter['id']}"

    assert (await s.get("observer.om_team", path)).status_code == 200
    assert (await put_content(s, charter, await content(s, charter), "observer.om_team")).status_code == 403
    assert (await s.post("observer.om_team", f"{path}/freeze", version=1)).status_code == 403
    assert (await s.post("observer.observer", CHARTERS, form(s))).status_code == 403


@pytest.mark.parametrize(("version", "status"), [(None, 428), (7, 412)])
async def test_a_change_needs_the_version_that_was_read(
    s: RunningService, version: int | None, status: int
) -> None:
    charter = await drafted(s)

    answer = await s.post("customer.om_team", f"{CHARTERS}/{charter['id']}/freeze", version=version)

    assert answer.status_code == status


async def test_the_list_filters_by_state_and_has_a_csv_twin(s: RunningService) -> None:
    charter = await drafted(s)

    drafts = (await s.get("customer.om_team", CHARTERS, state="draft", limit=1000)).json()["items"]
    sheet = (await s.get("customer.om_team", f"{CHARTERS}.csv", state="draft")).text.splitlines()

    assert charter["id"] in {item["id"] for item in drafts}
    assert {item["state"] for item in drafts} == {"draft"}
    assert len(sheet) == len(drafts) + 1
    assert any(charter["number"] in line for line in sheet)


async def test_each_act_left_one_audit_row(s: RunningService) -> None:
    charter = await signed_by_all(s)

    async with s.kernel.database.system() as session:
        rows = await session.execute(
            text("SELECT action FROM audit WHERE object_id = :id ORDER BY id"), {"id": charter["id"]}
        )

    assert list(rows.scalars()) == [
        "charter.draft",
        "charter.freeze",
        *["charter.sign"] * 4,
        "charter.activate",
    ]
