"""The HTTP conventions every service inherits, on a toy service with a real database."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from shared.contracts.changes import ChangeSubmitted
from shared.data.session import Identity
from tests.support.harness import RunningService


async def make(toy: RunningService, member: str = "customer.om_team", **fields: object):  # type: ignore[no-untyped-def]
    return await toy.post(
        member, "/changes/v1/notes", {"charter_id": str(toy.world.charter_id), "title": "t"} | fields
    )


async def test_a_member_creates_and_both_parties_and_the_observer_read(toy: RunningService) -> None:
    created = await make(toy)
    assert created.status_code == 201, created.text
    assert created.headers["etag"] == '"1"'
    path = f"/changes/v1/notes/{created.json()['id']}"
    for member in ("customer.om_team", "provider.business_owner", "observer.observer"):
        assert (await toy.get(member, path)).status_code == 200


async def test_a_foreign_id_reads_like_a_missing_one(toy: RunningService) -> None:
    created = (await make(toy)).json()["id"]
    foreign = await toy.get("other.om_team", f"/changes/v1/notes/{created}")
    missing = await toy.get("other.om_team", "/changes/v1/notes/01900000-0000-7000-8000-000000000000")
    assert foreign.status_code == missing.status_code == 404
    for answer in (foreign, missing):
        body = answer.json()
        assert body.pop("instance").startswith("/changes/")
        assert len(body.pop("request_id")) >= 8
    assert foreign.json()["detail"] == missing.json()["detail"]
    assert (await toy.get("other.om_team", "/changes/v1/notes")).json()["items"] == []


async def test_a_row_of_one_party_is_hidden_from_the_other(toy: RunningService) -> None:
    created = (await make(toy, visibility="customer")).json()["id"]
    for member, status in (("customer.isso", 200), ("provider.om_team", 404), ("observer.observer", 404)):
        assert (await toy.get(member, f"/changes/v1/notes/{created}")).status_code == status


async def test_roles_and_observers_are_refused(toy: RunningService) -> None:
    refused = await make(toy, "customer.isso")
    assert (refused.status_code, refused.json()["code"]) == (403, "role_required")
    observer = await make(toy, "observer.om_team")
    assert (observer.status_code, observer.json()["code"]) == (403, "other_party")
    stranger = await make(toy, "other.om_team")
    assert stranger.status_code == 404


async def test_no_token_no_answer(toy: RunningService) -> None:
    answer = await toy.client.get("/changes/v1/notes")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    unknown = await toy.client.get(
        "/changes/v1/notes", headers={"Authorization": f"Bearer {toy.issuer.token('nobody', toy.clock())}"}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (403, "not_a_member")


async def test_an_expired_token_is_refused_after_the_leeway(toy: RunningService) -> None:
    token = toy.issuer.token(
        "customer.om_team", toy.clock() - timedelta(hours=1), timedelta(minutes=59, seconds=1)
    )
    headers = {"Authorization": f"Bearer {token}"}
    assert (await toy.client.get("/changes/v1/notes", headers=headers)).status_code == 200
    token = toy.issuer.token(
        "customer.om_team", toy.clock() - timedelta(hours=1), timedelta(minutes=58, seconds=58)
    )
    headers = {"Authorization": f"Bearer {token}"}
    assert (await toy.client.get("/changes/v1/notes", headers=headers)).status_code == 401


async def test_if_match_is_required_and_compared(toy: RunningService) -> None:
    note = (await make(toy)).json()["id"]
    path = f"/changes/v1/notes/{note}/withdraw"
    assert (await toy.post("customer.om_team", path)).status_code == 428
    assert (await toy.post("customer.om_team", path, version=7)).status_code == 412
    done = await toy.post("customer.om_team", path, version=1)
    assert (done.status_code, done.headers["etag"]) == (200, '"2"')


async def test_of_two_concurrent_changes_one_sees_412(toy: RunningService) -> None:
    note = (await make(toy)).json()["id"]
    path = f"/changes/v1/notes/{note}/withdraw"
    answers = await asyncio.gather(*(toy.post("customer.om_team", path, version=1) for _ in range(4)))
    assert sorted(a.status_code for a in answers) == [200, 412, 412, 412]


async def test_an_idempotency_key_has_one_effect(toy: RunningService) -> None:
    before = len(await toy.events(ChangeSubmitted))
    body = {"charter_id": str(toy.world.charter_id), "title": "once"}
    answers = await asyncio.gather(
        *(toy.post("customer.om_team", "/changes/v1/notes", body, key="key-1") for _ in range(5))
    )
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert sum("idempotency-replayed" in a.headers for a in answers) == 4
    assert {a.headers["etag"] for a in answers} == {'"1"'}
    assert len(await toy.events(ChangeSubmitted)) == before + 1
    other = await toy.post("customer.om_team", "/changes/v1/notes", body | {"title": "two"}, key="key-1")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    same_key_of_another = await toy.post("provider.om_team", "/changes/v1/notes", body, key="key-1")
    assert same_key_of_another.status_code == 201


async def test_a_refusal_is_replayed_too(toy: RunningService) -> None:
    note = (await make(toy, title="kept")).json()["id"]
    path = f"/changes/v1/notes/{note}/withdraw"
    first = await toy.post("customer.om_team", path, {}, version=1, key="k")
    assert (first.status_code, first.json()["code"]) == (409, "kept")
    assert (await toy.post("customer.om_team", path, {}, version=1, key="k")).status_code == 409


async def test_a_failing_commit_is_never_answered_with_success(toy: RunningService) -> None:
    note = (await make(toy)).json()["id"]
    answer = await toy.post("customer.om_team", f"/changes/v1/notes/{note}/doom")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_runtime_role_can_neither_change_nor_delete_audit_rows(toy: RunningService) -> None:
    for statement in ("UPDATE audit SET action = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(Exception, match="permission denied"):
            async with toy.kernel.database.system() as session:
                await session.execute(text(statement))


async def test_an_unfiltered_query_shows_a_stranger_nothing(toy: RunningService) -> None:
    await make(toy)
    async with toy.kernel.database.acting_as(
        Identity("https://concordat.invalid/development", "other.om_team")
    ) as (
        session,
        _,
    ):
        for table in ("note", "audit", "outbox", "governed_charter", "charter_party", "inbox", "idempotency"):
            assert (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0, table
        known = await session.execute(text("SELECT DISTINCT org_id FROM member"))
        assert {row.org_id for row in known} == {toy.world.orgs["other"]}


async def test_pages_follow_the_cursor_and_refuse_a_foreign_one(toy: RunningService) -> None:
    for _ in range(5):
        await make(toy)
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await toy.get("customer.om_team", "/changes/v1/notes", **params)
        seen += [item["id"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
        assert 'rel="next"' in page.headers["link"]
        foreign = await toy.get("provider.om_team", "/changes/v1/notes", cursor=cursor)
        assert foreign.json()["code"] == "foreign_cursor"
    assert seen == sorted(set(seen), reverse=True)
    broken = await toy.get("customer.om_team", "/changes/v1/notes", cursor="%%%")
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed_cursor")


async def test_csv_cells_are_no_formulas(toy: RunningService) -> None:
    await make(toy, title="=1+1")
    answer = await toy.get("customer.om_team", "/changes/v1/notes.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert '"\'=1+1"' in answer.text
    assert ',"=' not in answer.text


BODIES = {
    "not json": (b"{", 400),
    "nan": (b'{"amount": NaN}', 400),
    "infinity": (b'{"amount": 1e999, "title": "x"}', 422),
    "duplicate names": (b'{"title": "a", "title": "b"}', 400),
    "too deep": (b"[" * 100_000 + b"]" * 100_000, 400),
    "many digits": (b'{"amount": ' + b"9" * 5000 + b"}", 400),
    "utf-16": ('{"title": "x"}'.encode("utf-16"), 400),
    "nul": (b'{"title": "a\\u0000b"}', 422),
    "surrogate": (b'{"title": "\\ud800"}', 422),
    "unknown field": (b'{"title": "a", "admin": true}', 422),
    "float money": (b'{"amount": 1.5}', 422),
    "too large": (b'{"title": "' + b"x" * 300_000 + b'"}', 413),
    "a number": (b"7", 422),
    "empty": (b"", 422),
}


@pytest.mark.parametrize("name", BODIES)
async def test_hostile_bodies_get_a_problem_document(toy: RunningService, name: str) -> None:
    body, status = BODIES[name]
    answer = await toy.client.post(
        "/changes/v1/notes",
        content=body,
        headers=toy.headers("customer.om_team") | {"Content-Type": "application/json"},
    )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
        "instance",
        "request_id",
        "errors",
    }


async def test_other_media_types_and_encodings_are_refused(toy: RunningService) -> None:
    for headers in (
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ):
        answer = await toy.client.post(
            "/changes/v1/notes", content=b"{}", headers=toy.headers("customer.om_team") | headers
        )
        assert answer.status_code == 415
        assert answer.headers["content-type"] == "application/problem+json"


async def test_unknown_routes_and_methods_are_problems_too(toy: RunningService) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("DELETE", "/changes/v1/notes", 405)):
        answer = await toy.client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.headers["x-request-id"]) >= 8
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_service_reports_its_health(toy: RunningService) -> None:
    assert (await toy.client.get("/changes/healthz")).json() == {"status": "live"}
    assert (await toy.client.get("/changes/metrics")).status_code == 200
