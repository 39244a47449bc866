"""A signed text stays what it was, byte for byte, while the classes that read it grow.

The sample was signed before a charter had `termination_notice_days`, `emergency_review_business_days` and a pause its
`max_business_days`: today's classes read it with defaults, and would write another text.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from shared.contracts.charter import CharterActivated
from shared.contracts.governance import ExecutableCharter
from shared.data.directory import governance, read_text
from shared.pure.canonical import canonical_bytes, canonical_json, content_hash
from shared.pure.refusal import NotYet
from tests.api.charter.charter_flow import CHARTERS, SIGNATORIES, drafted, frozen, sign
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.world import World

SIGNED = (Path(__file__).parents[3] / "samples" / "charter_signed_in_format_1.json").read_bytes()
HASH = "df3d34f5a8dfa5963819d99367d16f117fd6951a2c1255b534d7781633546c65"


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("charter", with_charter=False) as started:
        yield started


async def frozen_yesterday(s: RunningService) -> dict[str, Any]:
    """A charter whose text was frozen by a program that knew fewer fields."""
    charter = await frozen(s)
    async with s.kernel.database.system() as session:
        await session.execute(
            text("UPDATE charter SET text = :text, content_hash = :hash WHERE id = :id"),
            {"text": SIGNED, "hash": HASH, "id": charter["id"]},
        )
    return charter | {"content_hash": HASH}


@pytest.fixture(scope="module")
async def activated(s: RunningService) -> CharterActivated:
    """What the other services are told when the last of four signatures is under yesterday's text."""
    charter = await frozen_yesterday(s)
    for member in SIGNATORIES:
        answer = await sign(s, charter, member)
        assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "active"
    return [e for e in await s.events(CharterActivated) if str(e.charter_id) == charter["id"]][-1]


async def kept(s: RunningService, charter_id: UUID) -> tuple[bytes, str]:
    """A service's own copy of the text in force, and the hash beside it."""
    async with s.kernel.database.system() as session:
        rows = await session.execute(
            text("SELECT text, content_hash FROM governed_charter WHERE charter_id = :id"), {"id": charter_id}
        )
        return tuple(rows.one())


async def test_yesterdays_signed_charter_is_served_byte_for_byte(
    s: RunningService, activated: CharterActivated
) -> None:
    path = f"{CHARTERS}/{activated.charter_id}/text"

    for answer in (
        await s.get("customer.om_team", path),
        await s.get("observer.observer", path, charter_version=1),
    ):
        assert (answer.content, answer.headers["Content-Hash"]) == (SIGNED, HASH)
        assert sha256(answer.content).hexdigest() == HASH
        assert answer.headers["Text-Format"] == "1"
        assert answer.headers["Content-Type"] == "application/json"


async def test_yesterdays_signed_charter_is_executed_with_todays_defaults(
    s: RunningService, activated: CharterActivated
) -> None:

    read = (
        await s.get("customer.om_team", f"{CHARTERS}/{activated.charter_id}/content", charter_version=1)
    ).json()

    assert read["termination_notice_days"] == 180
    assert [pause["max_business_days"] for pause in read["pauses"]] == [5, 5]


async def test_signatures_activation_and_every_copy_keep_the_hash_that_was_signed(
    s: RunningService, activated: CharterActivated, start_service: StartService
) -> None:
    charter = (await s.get("customer.om_team", f"{CHARTERS}/{activated.charter_id}")).json()

    assert {signature["content_hash"] for signature in charter["signatures"]} == {HASH}
    assert (activated.content_hash, activated.content) == (HASH, json.loads(SIGNED))
    assert await kept(s, activated.charter_id) == (SIGNED, HASH)
    async with start_service("changes", with_charter=False) as changes:
        await changes.publish(activated, aggregate_id=activated.charter_id)
        assert await kept(changes, activated.charter_id) == (SIGNED, HASH)
        async with changes.kernel.database.system() as session:
            governed = await governance(session, activated.charter_id)
        assert (governed.content_hash, governed.content.termination_notice_days) == (HASH, 180)


async def test_what_is_signed_is_what_was_read_at_the_text(s: RunningService) -> None:
    charter = await frozen(s)

    read = await s.get("customer.business_owner", f"{CHARTERS}/{charter['id']}/text")
    answer = await sign(s, charter, SIGNATORIES[0], content_hash=sha256(read.content).hexdigest())

    assert answer.status_code == 200, answer.text
    assert read.headers["ETag"] == f'"{charter["version"]}"'


async def test_there_is_no_text_of_a_version_that_was_never_ratified(s: RunningService) -> None:
    charter = await drafted(s)

    answer = await s.get("customer.om_team", f"{CHARTERS}/{charter['id']}/text", charter_version=1)

    assert answer.status_code == 404


async def retouch(s: RunningService, table: str, charter_id: UUID) -> None:
    key = "id" if table == "charter" else "charter_id"
    async with s.kernel.database.system() as session:
        await session.execute(
            text(f"UPDATE {table} SET text = text || ' ' WHERE {key} = :id"), {"id": charter_id}
        )


async def test_the_database_itself_refuses_a_hash_of_other_bytes(
    s: RunningService, activated: CharterActivated
) -> None:

    for table in ("charter", "charter_version", "governed_charter"):
        with pytest.raises(IntegrityError, match=f"ck_{table}_content_hash"):
            await retouch(s, table, activated.charter_id)


async def test_a_text_of_a_later_format_is_kept_and_the_reader_told_to_upgrade() -> None:
    with pytest.raises(NotYet, match=r"format 2\. Upgrade this service"):
        read_text(b"%PDF", 2)


async def test_a_charter_with_a_word_of_a_later_program_is_kept_and_waits_for_the_upgrade(
    start_service: StartService,
) -> None:
    """Its signed bytes are kept, whatever they say; who has to follow them is told why that cannot be yet."""
    world = World()
    content = json.loads(canonical_json(world.charter))
    content["bodies"][0]["seats"][0]["role"] = "archivist"
    signed = canonical_bytes(content)
    later = world.activation().model_copy(
        update={"content": content, "content_hash": sha256(signed).hexdigest()}
    )
    async with start_service("changes", with_charter=False) as changes:
        await changes.publish(later, aggregate_id=later.charter_id, scope=world.scope)
        assert await kept(changes, later.charter_id) == (signed, later.content_hash)
        async with changes.kernel.database.system() as session:
            with pytest.raises(NotYet, match=r"bodies\.0\.seats\.0\.role\. Upgrade"):
                await governance(session, later.charter_id)


@dataclass(frozen=True, kw_only=True)
class Grown(ExecutableCharter):
    """Tomorrow's charter."""

    grace_business_days: int = 0


def test_a_hash_made_from_the_class_would_have_moved() -> None:
    """Why nothing is ever recomputed: the same text through two classes has three hashes."""
    today, tomorrow = read_text(SIGNED, 1), TypeAdapter(Grown).validate_json(SIGNED)

    assert tomorrow.grace_business_days == 0
    assert len({HASH, content_hash(today), content_hash(tomorrow)}) == 3
