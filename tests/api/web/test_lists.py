"""Lists and their CSV twins: several values, a span of time, no limit of rows, one way to write a value."""

import csv
import io
from collections.abc import AsyncIterator, MutableMapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from fastapi import Depends, Response
from sqlalchemy import literal, select, text

from shared.data.built import BuiltList, Filters, json_object
from shared.data.listing import Listing, any_of
from shared.data.session import Session
from shared.web import exports
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, csv_cell, table_of
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate, paginate_built
from shared.web.route import DirectTransaction, new_router
from shared.web.schemas import Text
from tests.api.web.conftest import StartToy
from tests.support import toy_service
from tests.support.harness import RunningService
from tests.support.toy_service import Note, NotePage

TEAM = "customer.om_team"
DEC = Decimal("1.50")
PATH = "/changes/v1/titled"
router = new_router("titled", prefix="/changes/v1")
Caller = Annotated[Principal, allow(toy_service.READ)]


async def _wanted(title: Several[Text] = None) -> Listing[Note]:
    return Listing(select(Note).where(*any_of(Note.title, title)), Note)


Wanted = Annotated[Listing[Note], Depends(_wanted)]


@router.get("/titled", response_model=NotePage)
async def list_titled(session: Session, page: PageQuery, wanted: Wanted, caller: Caller) -> Rows[Note]:
    return await paginate(session, wanted, page)


@router.get("/titled.csv", response_class=CsvStream)
async def export_titled(session: Session, export: Exporting, wanted: Wanted, caller: Caller) -> CsvStream:
    return await export.of(session, "titled", wanted, table_of(toy_service.NoteOut))


async def _filters(title: Several[Text] = None) -> Filters:
    return {"title": title}


def _by_title(title: Any = None) -> Listing[Note]:
    return Listing(select(Note).where(*any_of(Note.title, title)), Note)


BUILT = BuiltList(
    _by_title,
    json_object(
        {
            "id": Note.id,
            "version": Note.version,
            "title": Note.title,
            "at": Note.created_at,
            "sum": literal(DEC),
        }
    ),
)


@router.get("/built")
async def list_built(
    transaction: DirectTransaction,
    page: PageQuery,
    wanted: Annotated[Filters, Depends(_filters)],
    caller: Caller,
) -> Response:
    return await paginate_built(transaction, BUILT, wanted, page)


@pytest.fixture(scope="module")
async def toy(start_toy: StartToy) -> AsyncIterator[RunningService]:
    async with start_toy(router, public_url="https://concordat.example.gov/behind") as service:
        for title in ("Café", "a", "b", "b"):
            await make(service, title)
            service.clock.advance(timedelta(days=1))
        yield service


async def make(toy: RunningService, title: str) -> str:
    form = {"charter_id": str(toy.world.charter_id), "title": title}
    made = await toy.post(TEAM, "/changes/v1/notes", form)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def titles(toy: RunningService, query: str) -> list[str]:
    answer = await toy.client.get(f"{PATH}?{query}", headers=toy.headers(TEAM))
    assert answer.status_code == 200, answer.text
    twin = await toy.client.get(f"{PATH}.csv?{query}", headers=toy.headers(TEAM))
    listed = [item["title"] for item in answer.json()["items"]]
    exported = [row["title"] for row in csv.DictReader(io.StringIO(twin.text))]
    assert exported == listed[::-1]
    return listed


async def test_a_filter_given_twice_means_any_of_both(toy: RunningService) -> None:
    assert await titles(toy, "title=b") == ["b", "b"]
    assert await titles(toy, "title=b&title=a") == ["b", "b", "a"]
    assert await titles(toy, "title=b&title=nobody") == ["b", "b"]


async def test_a_span_of_time_is_half_open_and_takes_dates_and_instants(toy: RunningService) -> None:
    async with toy.kernel.database.system() as session:
        made = list(await session.scalars(text("SELECT created_at FROM note ORDER BY id")))
    first, second, third, fourth = (moment.isoformat().replace("+", "%2B") for moment in made)
    assert await titles(toy, f"from={first}&to={second}") == ["Café"]
    assert await titles(toy, f"from={second}") == ["b", "b", "a"]
    assert await titles(toy, f"to={third}") == ["a", "Café"]
    assert await titles(toy, f"since={fourth}") == ["b"]
    day = made[1].date()
    assert await titles(toy, f"from={day}&to={day + timedelta(days=1)}") == ["a"]


@pytest.mark.parametrize("name", ["from", "to", "since"])
async def test_what_is_no_time_is_explained(toy: RunningService, name: str) -> None:
    for value in ("2026-02-30", "yesterday", "2026-10-01T25:00:00Z", "2026-10-01T00:00:00"):
        answer = await toy.get(TEAM, PATH, **{name: value})
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/query/{name}"], value


async def test_the_next_page_is_at_the_public_address(toy: RunningService) -> None:
    answer = await toy.client.get(
        f"{PATH}?limit=1&title=b&title=a&cursor=", headers=toy.headers(TEAM) | {"Host": "inside:8000"}
    )
    address = answer.headers["link"].partition(">")[0].removeprefix("<")
    assert address.startswith("https://concordat.example.gov/behind/changes/v1/titled?")
    query = parse_qs(urlsplit(address).query)
    assert query == {"limit": ["1"], "title": ["b", "a"], "cursor": [answer.json()["next_cursor"]]}


async def test_a_byte_order_mark_is_there_for_those_who_ask(toy: RunningService) -> None:
    plain = await toy.get(TEAM, f"{PATH}.csv")
    marked = await toy.get(TEAM, f"{PATH}.csv", bom="true")
    assert plain.content.startswith(b'"id"')
    assert marked.content == b"\xef\xbb\xbf" + plain.content
    assert "Café".encode() in plain.content
    assert plain.headers["content-disposition"] == 'attachment; filename="titled.csv"'


# Items that PostgreSQL builds


async def test_a_built_list_says_what_the_other_says(toy: RunningService) -> None:
    async with toy.kernel.database.system() as session:
        made = list(await session.scalars(text("SELECT created_at FROM note ORDER BY id")))
    second = made[1].isoformat().replace("+", "%2B")
    queries = ["", "title=b&title=a", "title=b", f"from={second}", f"to={made[2].date()}", f"since={second}"]
    for query in (*queries, "sort=created_at", "title=%27%22%5C"):
        ours = await toy.client.get(f"/changes/v1/built?{query}", headers=toy.headers(TEAM))
        plain = await toy.client.get(f"{PATH}?{query}", headers=toy.headers(TEAM))
        shown = [{k: item[k] for k in ("id", "version", "title")} for item in ours.json()["items"]]
        assert shown == plain.json()["items"], query
        assert ours.json()["next_cursor"] is None
        assert {item["sum"] for item in ours.json()["items"]} <= {"1.50"}


async def test_a_built_list_writes_instants_like_every_answer(toy: RunningService) -> None:
    moments = ["2026-10-01 00:00:00+00", "2026-10-01 08:00:00.1+02", "2026-10-01 00:00:00.000001+00"]
    expected = ["2026-10-01T00:00:00Z", "2026-10-01T06:00:00.100000Z", "2026-10-01T00:00:00.000001Z"]
    note = await make(toy, "timed")
    for moment, written in zip(moments, expected, strict=True):
        async with toy.kernel.database.system() as session:
            await session.execute(text(f"UPDATE note SET created_at = '{moment}' WHERE id = '{note}'"))
        [item] = (await toy.get(TEAM, "/changes/v1/built", title="timed")).json()["items"]
        assert item["at"] == written
    async with toy.kernel.database.system() as session:
        await session.execute(text(f"UPDATE note SET title = 'gone' WHERE id = '{note}'"))


async def test_a_built_list_has_pages(toy: RunningService) -> None:
    for sort in ("created_at", "-created_at"):
        whole = [i["id"] for i in (await toy.get(TEAM, "/changes/v1/built", sort=sort)).json()["items"]]
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = await toy.get(TEAM, "/changes/v1/built", sort=sort, limit=2, cursor=cursor)
            seen += [item["id"] for item in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            assert ('rel="next"' in page.headers.get("link", "")) == (cursor is not None)
        assert seen == whole


async def test_a_built_list_shows_a_stranger_nothing_and_its_tag_follows_its_rows(
    toy: RunningService,
) -> None:
    assert (await toy.get("other.om_team", "/changes/v1/built")).json() == {"items": [], "next_cursor": None}
    before = (await toy.get(TEAM, "/changes/v1/built")).headers["etag"]
    again = await toy.client.get("/changes/v1/built", headers=toy.headers(TEAM) | {"If-None-Match": before})
    assert (again.status_code, again.content) == (304, b"")
    await make(toy, "new")
    assert (await toy.get(TEAM, "/changes/v1/built")).headers["etag"] != before


# Exports without a limit

MANY = 10_001


async def fill(toy: RunningService, rows: int) -> None:
    scope = toy.world.scope
    async with toy.kernel.database.system() as session:
        await session.execute(
            text(
                "INSERT INTO note (id, version, created_at, updated_at, charter_id, customer_org_id, "
                "provider_org_id, visibility, title) SELECT ('01900000-0000-7000-8000-' || "
                "lpad(to_hex(n), 12, '0'))::uuid, 1, now(), now(), :charter_id, :customer_org_id, "
                ":provider_org_id, 'shared', 'many' || n FROM generate_series(1, :rows) AS n"
            ),
            {
                "rows": rows,
                "charter_id": scope.charter_id,
                "customer_org_id": scope.customer_org_id,
                "provider_org_id": scope.provider_org_id,
            },
        )


async def sent(toy: RunningService) -> list[tuple[bytes, int]]:
    """The pieces of an export as a server gets them, each with the connections in use at that moment."""
    pieces: list[tuple[bytes, int]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            pieces.append((message["body"], toy.kernel.database.connections_in_use))

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"{PATH}.csv",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in toy.headers(TEAM).items()],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }
    await toy.app(scope, receive, send)
    return pieces


async def test_ten_thousand_and_one_rows_are_exported_a_batch_at_a_time(start_toy: StartToy) -> None:
    async with start_toy(router) as toy:
        await fill(toy, MANY)
        pieces = await sent(toy)
        assert sum(piece.count(b"\n") for piece, _ in pieces) == MANY + 1
        assert max(len(piece) for piece, _ in pieces) < 100 * exports.BATCH, "a batch at a time"


async def test_an_export_holds_no_connection_between_its_batches(start_toy: StartToy) -> None:
    async with start_toy(router) as toy:
        await fill(toy, 3 * exports.BATCH)
        pieces = await sent(toy)
        assert len(pieces) >= 4
        assert {connections for _, connections in pieces} == {0}


async def test_rows_created_during_an_export_are_left_out(toy: RunningService) -> None:
    """The bound is an id of the moment the export began; ids grow with time."""
    await make(toy, "before")
    async with toy.client.stream("GET", f"{PATH}.csv", headers=toy.headers(TEAM)) as answer:
        exported = (await answer.aread()).decode()
    later = await make(toy, "after")
    assert "before" in exported
    assert later not in exported


# Values


class Level(StrEnum):
    low = "low"


ID = UUID("0198c0de-0000-7000-8000-000000000000")
CELLS = [
    (None, ""),
    (True, "true"),
    (7, 7),
    (-7, -7),
    (Decimal("-1E+2"), "-100"),
    (Decimal("180000.00"), "180000.00"),
    (Level.low, "low"),
    (ID, str(ID)),
    (date(2026, 10, 1), "2026-10-01"),
    (time(8, 30), "08:30:00"),
    (datetime(2026, 10, 1, 8, tzinfo=UTC), "2026-10-01T08:00:00.000000Z"),
    (datetime(2026, 10, 1, 8, 0, 0, 1200, tzinfo=UTC), "2026-10-01T08:00:00.001200Z"),
    ([Level.low, Level.low], "low low"),
    ((ID,), str(ID)),
    ([], ""),
    ({"a": Decimal("1.50"), "b": [ID]}, f'{{"a":"1.50","b":["{ID}"]}}'),
    ("=1+1", "'=1+1"),
    (" =1+1", "' =1+1"),
    ("＝1", "'＝1"),
    ("plain", "plain"),
]


@pytest.mark.parametrize(("value", "cell"), CELLS, ids=lambda value: repr(value)[:30])
def test_every_kind_of_value_has_one_form(value: object, cell: object) -> None:
    assert csv_cell(value) == cell


def test_what_has_no_form_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="object has no form in CSV"):
        csv_cell(object())
