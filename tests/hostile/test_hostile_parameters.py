"""Hostile ids in paths, query parameters and headers, against every route: never a 5xx, always a problem document."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest

from shared.web.pages import write_cursor
from tests.hostile.conftest import StageOf
from tests.hostile.objects import ready
from tests.hostile.routes import Route, all_routes
from tests.hostile.support import Stage, is_problem, ledger, raw, send

ROUTES = all_routes()
WITH_IDS = [route for route in ROUTES if route.ids()]
WITH_QUERIES = [route for route in ROUTES if route.parameters("query")]
WITH_VERSIONS = [route for route in ROUTES if route.wants_version]
POSTS = [route for route in ROUTES if route.method == "POST"]

IDS = (
    *(
        "1",
        "0",
        "-1",
        "null",
        "undefined",
        "*",
        "x" * 5000,
        "9" * 40,
        "é",
        "\u202e",
        "'; DROP TABLE member; --",
    ),
    *(
        "%00",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%ff%fe",
        "%ed%a0%80",
        "%0d%0aSet-Cookie:%20a=b",
        "{change_id}",
    ),
    *(
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "0198c0de-0000-7000-8000",
    ),
)
QUERIES = (
    *(
        "",
        "0",
        "-1",
        "1",
        str(10**30),
        "9" * 5000,
        "1e999",
        "NaN",
        "null",
        "true",
        "[]",
        "{}",
        "x" * 5000,
        "x" * 90,
    ),
    *(
        "%00",
        "a%00b",
        "%ed%a0%80",
        "%ff",
        "\u202e",
        "２",
        "'; DROP TABLE member; --",
        "../../etc/passwd",
        "2026-10",
    ),
    *(
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00%2B14:00",
        "0001-01-01",
        "9999-12-31",
        "2026-02-30",
        "1790000000",
    ),
    *(
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "urn:uuid:0198c0de-0000-7000-8000-000000000000",
        "-created_at",
        "id",
    ),
)
VERSIONS = (
    "*",
    'W/"1"',
    "",
    '""',
    '"',
    "1, 2",
    '"1", "2"',
    "-1",
    "9" * 9,
    "9" * 5000,
    "１",
    "²",
    "1.0",
    "x" * 5000,
)
KEYS = ("", "x" * 256, "x" * 300, "é", "\x7f", "\t", "a\tb", "x" * 60_000)
NO_TOKEN = ("", "Bearer", "Bearer ", "bearer\t.", "Basic dXNlcjpwYXNz", "Negotiate " + "A" * 60_000)
TOKENS = (
    *("Bearer x", "Bearer a.b.c", "Bearer ..", "Bearer é"),
    *("Bearer " + "x" * 9000, "Bearer " + "." * 8000),
)
HOSTS = ("[", "[::1", "a b", "é", "evil.example\\@test", "", "x" * 5000, "test:99999999", "-")


def segment(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


HEADER = segment(b'{"alg": "ES256", "typ": "at+jwt", "kid": "development-1"}')
FORGED = (
    f"{segment(b'[' * 5000)}.{HEADER}.AA",
    f"{HEADER}.{segment(b'[' * 5000)}.AA",
    f"{HEADER}.{segment(b'[]')}.AA",
    f"{HEADER}.{segment(json.dumps({'iss': []}).encode())}.AA",
    f"{HEADER}.{segment(json.dumps({'iss': {'a': 1}}).encode())}.AA",
    f"{HEADER}.{segment(json.dumps({'iss': chr(0xD800)}).encode())}.AA",
    f"{HEADER}.{segment(b'{' + b'%ciss%c: ' % (34, 34) + b'9' * 5000 + b'}')}.AA",
    f"{segment(json.dumps({'alg': 'none', 'kid': 'x'}).encode())}.{HEADER}.",
    f"{segment(json.dumps({'alg': ['ES256'], 'kid': 'x'}).encode())}.{HEADER}.AA",
    f"{segment(json.dumps({'alg': 'ES256', 'typ': {}, 'kid': None}).encode())}.{HEADER}.AA",
    f"{segment(json.dumps({'alg': 'HS256', 'kid': 'development-1'}).encode())}.{HEADER}.AA",
)


def unacceptable(answers: Iterable[tuple[str, httpx.Response]]) -> list[tuple[str, int, str]]:
    """The answers that are a 5xx, or an error without a problem document."""
    return [
        (what, answer.status_code, answer.text[:200])
        for what, answer in answers
        if answer.status_code >= 500 or (answer.status_code >= 400 and not is_problem(answer))
    ]


async def requested(stage: Stage, path: str, route: Route, who: str) -> httpx.Response:
    """A request whose path is taken as it stands."""
    headers = stage.headers(who) | {"If-Match": '"1"', "Content-Type": "application/json"}
    content = None if route.method == "GET" else b"{}"
    return await stage.s.client.request(route.method, path, headers=headers, content=content)


@pytest.mark.parametrize("route", WITH_IDS, ids=lambda route: route.label)
async def test_what_is_no_id_is_refused_wherever_an_id_is_due(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    before = await ledger(stage.s)
    answers = []
    for name in route.ids():
        for hostile in IDS:
            path = route.at({**works.ids, name: hostile if "%" in hostile else quote(hostile)})
            answers.append((hostile, await requested(stage, path, route, works.member)))
    assert not unacceptable(answers)
    assert [(what, answer.text) for what, answer in answers if answer.is_success] == []
    assert await ledger(stage.s) == before


@pytest.mark.parametrize("route", [r for r in WITH_IDS if r.method == "GET"], ids=lambda route: route.label)
async def test_an_id_in_capitals_is_the_same_id(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    shouted = route.at({name: value.upper() for name, value in works.ids.items()})
    assert (await send(stage, works, path=shouted)).text == (await send(stage, works)).text


@pytest.mark.parametrize("route", WITH_QUERIES, ids=lambda route: route.label)
async def test_hostile_query_parameters_are_refused_or_find_nothing(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    answers = []
    for each in route.parameters("query"):
        others = "".join(f"&{name}={value}" for name, value in works.query.items() if name != each["name"])
        given = [f"{each['name']}={hostile if '%' in hostile else quote(hostile)}" for hostile in QUERIES]
        for query in (*given, f"{given[0]}&{given[1]}", "&".join(given), f"{each['name']}[]=1", each["name"]):
            path = f"{works.path}?{query}{others}"
            answers.append((query[:80], await requested(stage, path, route, works.member)))
    assert not unacceptable(answers)


PAGED = [
    route for route in WITH_QUERIES if any(each["name"] == "cursor" for each in route.parameters("query"))
]


def cursors(path: str, org: object) -> list[str]:
    """Damaged cursors, and well-made ones of the caller's own that stand after rows nobody has."""
    bound = json.dumps([path, [], True, str(org)])
    own = hashlib.sha256(bound.encode()).hexdigest()[:16]
    made = [write_cursor(UUID(int=value), own) for value in (0, 1, 2**63, 2**64, 2**128 - 1)]
    words = ("1.x.y", "2." + "0" * 32 + "." + own, "1..", "....", "\x00", "1." + "0" * 32)
    return [
        *made,
        *(segment(word.encode()) for word in words),
        "=",
        "a",
        "%",
        "x" * 200,
        segment(b"\xff" * 30),
    ]


@pytest.mark.parametrize("route", PAGED, ids=lambda route: route.label)
async def test_a_cursor_is_a_place_in_a_list_or_nothing(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    answers = [
        (cursor, await send(stage, works, query={**works.query, "cursor": cursor}))
        for cursor in cursors(works.path, stage.org("customer"))
    ]
    assert not unacceptable(answers)


@pytest.mark.parametrize("route", WITH_VERSIONS, ids=lambda route: route.label)
async def test_if_match_takes_one_version_and_nothing_else(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    before = await ledger(stage.s)
    answers = [(v, await send(stage, works, etag=v, headers={"If-Match": v})) for v in VERSIONS]
    assert not unacceptable(answers)
    assert {answer.status_code for _, answer in answers} <= {400, 409, 412}
    assert await ledger(stage.s) == before


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.label)
async def test_a_malformed_idempotency_key_is_refused(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    before = await ledger(stage.s)
    for key in KEYS:
        answer = await send(stage, works, headers={"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed_idempotency_key"), key[:20]
        assert is_problem(answer)
    assert await ledger(stage.s) == before


FIRST_OF_EACH = list({route.service: route for route in reversed(ROUTES)}.values())


async def _challenges(stage: Stage, route: Route, authorizations: Iterable[str], challenge: str) -> set[str]:
    """What each of these is answered; never anything but 401 with that challenge."""
    path = route.at(dict.fromkeys(route.ids(), str(UUID(int=1))))
    answers = set()
    for given in authorizations:
        answer = await stage.s.client.request(route.method, path, headers=raw({"Authorization": given}))
        assert answer.status_code == 401, (given[:40], answer.text)
        assert is_problem(answer)
        assert answer.headers["WWW-Authenticate"] == challenge, given[:40]
        answers.add(json.dumps(answer.json() | {"request_id": ""}))
    return answers


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_without_a_good_token_there_is_no_telling_why(route: Route, stage_of: StageOf) -> None:
    """Tokens are read in one place, so one route of each service meets all of them."""
    stage = await stage_of(route.service)
    every = (*TOKENS, *(f"Bearer {forged}" for forged in FORGED))
    some = every if route in FIRST_OF_EACH else every[::8]
    assert len(await _challenges(stage, route, some, 'Bearer error="invalid_token"')) == 1


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_a_request_without_any_token_is_told_to_send_one(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    some = NO_TOKEN if route in FIRST_OF_EACH else NO_TOKEN[:1]
    answers = await _challenges(stage, route, some, "Bearer")
    assert [json.loads(each)["code"] for each in answers] == ["unauthenticated"]


@pytest.mark.parametrize("route", PAGED, ids=lambda route: route.label)
async def test_a_hostile_host_name_breaks_no_link_to_the_next_page(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    one = {**works.query, "limit": "1"}
    answers = [(host, await send(stage, works, query=one, headers={"Host": host})) for host in HOSTS]
    assert not unacceptable(answers)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.takes != "nothing"], ids=lambda route: route.label)
async def test_what_is_no_length_is_not_believed(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    works = await ready(stage, route)
    answers = [
        (length, await send(stage, works, content=b"[", headers={"Content-Length": length}))
        for length in ("²", "-1", "9" * 5000, "1e3", "", "0x10")
    ]
    assert not unacceptable(answers)
    assert {answer.status_code for _, answer in answers} <= {400, 422}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_a_method_a_path_does_not_have_is_a_problem_too(route: Route, stage_of: StageOf) -> None:
    stage = await stage_of(route.service)
    path = route.at(dict.fromkeys(route.ids(), str(UUID(int=1))))
    known = {each.method for each in ROUTES if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each.path), path)}
    for method in {"GET", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "X" * 100} - known:
        answer = await stage.s.client.request(method, path, headers=stage.headers("customer.om_team"))
        assert answer.status_code in (404, 405), method
        assert is_problem(answer), method
