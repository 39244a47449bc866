"""A direct transaction keeps what a session keeps: whose rows, once per key, all or nothing, errors told for what they are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import Response
from sqlalchemy import text

from shared.data import migrations
from shared.pure.refusal import Missing, Refused
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.route import DirectTransaction, new_router
from shared.web.schemas import In, Text
from tests.api.web.conftest import StartToy
from tests.support import toy_service
from tests.support.harness import PASSWORD, RunningService
from tests.support.postgres import PostgresServer
from tests.support.statements import settled, statements_of

PATH = "/changes/v1/direct"
router = new_router("direct", prefix="/changes/v1")


class NoteForm(In):
    id: UUID
    charter_id: UUID
    title: Text


@router.post("/direct", status_code=201, response_model=toy_service.NoteOut)
async def create_directly(
    form: NoteForm,
    response: Response,
    transaction: DirectTransaction,
    now: Now,
    caller: Annotated[Principal, allow(toy_service.WRITE)],
) -> dict[str, object]:
    parties = await transaction.one(
        "SELECT customer_org_id, provider_org_id FROM governed_charter WHERE charter_id = $1", form.charter_id
    )
    if parties is None:
        raise Missing("charter in force")
    if form.title == "kept":
        raise Refused("kept", "This note must be kept.")
    note = {**form.model_dump(), **parties, "version": 1, "visibility": "shared"}
    transaction.add("note", note | {"created_at": now, "updated_at": now})
    response.headers["ETag"] = '"1"'
    return note


@pytest.fixture
async def toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy(router) as service:
        yield service


async def post(
    toy: RunningService, key: str | None = None, by: str = "customer.om_team", **fields: object
) -> httpx.Response:
    form = {"id": str(uuid4()), "charter_id": str(toy.world.charter_id), "title": "a note"} | fields
    return await toy.post(by, PATH, form, key=key)


async def count(toy: RunningService, table: str = "note") -> int:
    async with toy.kernel.database.system() as session:
        rows: int = (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
        return rows


async def test_a_request_takes_five_round_trips(toy: RunningService) -> None:
    async with statements_of(toy) as sent:
        assert (await post(toy, key="first on its connection")).status_code == 201
        await settled()
        sent.clear()
        assert (await post(toy, key="counted")).status_code == 201
        await settled()
        assert sent == ["BEGIN", "WITH", "SELECT", "WITH", "COMMIT"]


async def test_the_same_key_gets_the_same_answer_and_writes_once(toy: RunningService) -> None:
    form = {"id": str(uuid4())}
    first, again = await post(toy, key="k", **form), await post(toy, key="k", **form)
    assert (first.status_code, again.status_code) == (201, 201)
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    assert again.headers["idempotency-replayed"] == "true"
    assert await count(toy) == 1
    other = await post(toy, key="k", title="another")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_of_ten_twins_one_writes_and_none_fails(toy: RunningService) -> None:
    form = {"id": str(uuid4())}
    answers = await asyncio.gather(*(post(toy, key="twins", **form) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert await count(toy) == 1


async def test_keys_of_two_organizations_do_not_meet(toy: RunningService) -> None:
    mine, theirs = await post(toy, key="same"), await post(toy, key="same", by="provider.om_team")
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_a_refusal_is_kept_under_its_key_and_leaves_nothing(toy: RunningService) -> None:
    form = {"id": str(uuid4()), "title": "kept"}
    refused, again = await post(toy, key="no", **form), await post(toy, key="no", **form)
    assert refused.status_code == again.status_code == 409
    assert again.json()["code"] == "kept"
    assert await count(toy) == 0


async def test_strangers_see_no_charter_and_claim_nothing_elsewhere(toy: RunningService) -> None:
    assert (await post(toy, key="s", by="other.om_team")).status_code == 404
    assert (await post(toy, key="s", by="customer.isso")).json()["code"] == "role_required"
    nobody = {"Authorization": f"Bearer {toy.issuer.token('nobody', toy.clock())}", "Idempotency-Key": "s"}
    answer = await toy.client.post(
        PATH, headers=nobody, json={"id": str(uuid4()), "charter_id": str(uuid4()), "title": "x"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "not_a_member")
    assert await count(toy) == 0


async def test_a_broken_key_is_a_clash_and_the_connection_goes_on(toy: RunningService) -> None:
    form = {"id": str(uuid4())}
    assert (await post(toy, **form)).status_code == 201
    for _ in range(8):
        assert (await post(toy, **form)).status_code == 409
    assert (await post(toy)).status_code == 201
    assert toy.kernel.database.connections_in_use == 0


async def test_connections_that_were_ended_are_not_used_again(
    toy: RunningService, postgres: PostgresServer
) -> None:
    assert {(await post(toy)).status_code for _ in range(3)} == {201}
    await asyncio.gather(*(post(toy) for _ in range(5)))
    async with toy.kernel.database.system() as session:
        await session.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'concordat-changes' AND pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    answers = await asyncio.gather(*(post(toy) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {201}
    assert toy.kernel.database.connections_in_use == 0


async def test_a_schema_that_changes_meanwhile_costs_no_request(
    toy: RunningService, postgres: PostgresServer
) -> None:
    database = toy.kernel.settings.database_url.get_secret_value().rpartition("/")[2]
    owner = await asyncpg.connect(
        postgres.url(database, migrations.owner_role("changes"), PASSWORD),
        server_settings={"search_path": "changes"},
    )
    answers = [await post(toy)]
    for n in range(5):
        change = owner.execute(f"ALTER TABLE note ADD COLUMN more_{n} text NOT NULL DEFAULT 'as it was'")
        *more, _ = await asyncio.gather(*(post(toy, key=f"{n} {m}") for m in range(6)), change)
        answers += more
    await owner.close()
    assert {answer.status_code for answer in answers} == {201}
    assert await count(toy, "note WHERE more_0 = 'as it was'") == len(answers)


async def test_a_client_that_leaves_leaves_nothing_behind(toy: RunningService) -> None:
    async with toy.kernel.database.system() as session:
        await session.execute(text("LOCK TABLE idempotency IN ACCESS EXCLUSIVE MODE"))
        waiting = asyncio.create_task(post(toy, key="left"))
        while toy.kernel.database.connections_in_use < 2:
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert toy.kernel.database.connections_in_use == 0
    assert await count(toy) == 0
    assert (await post(toy, key="left")).status_code == 201
