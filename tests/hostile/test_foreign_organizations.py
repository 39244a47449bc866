"""Foreign organizations: neighbours that share one party, a stranger, an onlooker, a removed member, an operator.

What they are told about the victim's objects is what they are told about objects that do not exist.
"""

import json
import re
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.domain.governance import Role
from shared.ids import uuid7
from shared.migrations import SERVICES
from tests.hostile.conftest import StageOf
from tests.hostile.objects import COLLECTIONS, id_for, one, ready
from tests.hostile.routes import Route, all_routes, routes_of
from tests.hostile.support import (
    FORMER,
    Parties,
    Ready,
    Stage,
    is_problem,
    ledger,
    send,
    stranger,
    version_of,
)

STRANGERS = ("other", "customer2", "provider2")
KNOWN_BY = {"organizations": "provider2", "members": "provider2"}
"""Whoever shares a charter with an organization sees it and its members, and may change nothing of them."""
REFUSALS = {
    "role_required",
    "other_party",
    "other_organization",
    "observers_read_only",
    "sysadmin_governs_nothing",
}
ROUTES = all_routes()
WITH_IDS = [route for route in ROUTES if route.ids()]
WITH_QUERY_IDS = [route for route in ROUTES if route.query_ids()]
WITH_BODIES = [route for route in ROUTES if route.takes == "json"]
LISTS = [route for route in ROUTES if route.method == "GET" and not route.ids()]
IS_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def populated(stage_of: StageOf) -> StageOf:
    """Stages on which the victim and both neighbours have one object of everything."""

    async def get(service: str) -> Stage:
        stage = await stage_of(service)
        for collection in collections_of(service):
            for parties in (stage.victim, stage.second, stage.third):
                await one(stage, collection, parties)
        return stage

    return get


def collections_of(service: str) -> list[str]:
    owned = {owner for route in routes_of(service) for owner in route.ids().values()}
    return [name for name in COLLECTIONS if name in owned]


def said(answer: httpx.Response) -> tuple[int, str]:
    """The answer without what differs between any two: which path was asked, and which request it was."""
    if not is_problem(answer):
        return answer.status_code, answer.text
    return answer.status_code, json.dumps(answer.json() | {"instance": "", "request_id": ""})


def elsewhere(found: Any) -> Any:
    """The same with every id replaced by one that nobody has."""
    return json.loads(IS_UUID.sub(lambda _: str(uuid7()), json.dumps(found)))


async def told(stage: Stage, works: Ready, member: str, etag: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """What a member is told about an object, and about one that does not exist."""
    asking = works.by(member)
    missing = route_to_nowhere(asking)
    return said(await send(stage, asking, etag=etag)), said(await send(stage, missing, etag=etag))


def route_to_nowhere(works: Ready) -> Ready:
    return Ready(works.route, works.member, elsewhere(dict(works.ids)), works.body, dict(works.query))


def is_known(route: Route, organization: str) -> bool:
    return any(KNOWN_BY.get(owner) == organization for owner in route.ids().values())


def is_for_operators(route: Route) -> bool:
    return route.action.sysadmin and route.action.roles == frozenset()


@pytest.mark.parametrize("organization", STRANGERS)
@pytest.mark.parametrize("route", WITH_IDS, ids=lambda route: route.label)
async def test_a_foreign_object_looks_like_a_missing_one(
    route: Route, organization: str, populated: StageOf
) -> None:
    stage = await populated(route.service)
    works = await ready(stage, route)
    etag = await version_of(stage, works)
    before = await ledger(stage.s)
    foreign, missing = await told(stage, works, stranger(route.action, organization), etag)
    assert await ledger(stage.s) == before
    if is_known(route, organization):
        assert (foreign[0], missing[0]) == ((403, 404) if route.writes else (200, 404)), foreign
    else:
        assert foreign == missing
        assert foreign[0] == (403 if is_for_operators(route) else 404)


def observers_status(route: Route) -> int:
    """What an observer of the charter gets: reads it sees, writes it may not do; of what is private, nothing."""
    if is_for_operators(route):
        return 403
    if route.service == "notifier":
        return 404
    return 403 if route.writes else 200


@pytest.mark.parametrize("route", WITH_IDS, ids=lambda route: route.label)
async def test_an_observer_reads_and_never_writes(route: Route, populated: StageOf) -> None:
    """A mere observer is told at the door; one with a working role only when the row is known to be another's."""
    stage = await populated(route.service)
    works = await ready(stage, route)
    etag = await version_of(stage, works)
    before = await ledger(stage.s)
    working = await send(stage, works.by("observer.om_team"), etag=etag)
    mere = await send(stage, works.by("observer.observer"), etag=etag)
    needs_role = route.action.roles is not None
    may = not needs_role or Role.om_team in (route.action.roles or ())
    assert working.status_code == (observers_status(route) if may else 403), working.text
    assert mere.status_code == (403 if route.writes or needs_role else observers_status(route)), mere.text
    for answer in (working, mere):
        assert answer.status_code != 403 or answer.json()["code"] in REFUSALS
    assert await ledger(stage.s) == before


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.label)
async def test_a_removed_member_is_nobody_everywhere(route: Route, populated: StageOf) -> None:
    stage = await populated(route.service)
    works = await ready(stage, route)
    before = await ledger(stage.s)
    found, missing = await told(stage, works, f"customer.{FORMER}", '"1"')
    assert found == missing
    assert (found[0], json.loads(found[1])["code"]) == (403, "not_a_member")
    assert await ledger(stage.s) == before


@pytest.mark.parametrize("organization", STRANGERS)
@pytest.mark.parametrize("route", WITH_QUERY_IDS, ids=lambda route: route.label)
async def test_a_foreign_id_in_a_query_finds_what_a_missing_one_finds(
    route: Route, organization: str, populated: StageOf
) -> None:
    stage = await populated(route.service)
    works = (await ready(stage, route)).by(stranger(route.action, organization))
    for name in route.query_ids():
        if name in ("cursor", "aggregate_id"):
            continue  # of dead letters, which belong to no organization
        foreign = {**works.query, name: await id_for(stage, name, stage.victim)}
        answers = [said(await send(stage, works, query=query)) for query in (foreign, elsewhere(foreign))]
        assert answers[0] == answers[1], name


@pytest.mark.parametrize("organization", STRANGERS)
@pytest.mark.parametrize("route", WITH_BODIES, ids=lambda route: route.label)
async def test_a_foreign_id_in_a_body_is_refused_like_a_missing_one(
    route: Route, organization: str, populated: StageOf
) -> None:
    stage = await populated(route.service)
    works = (await ready(stage, route)).by(stranger(route.action, organization))
    if not IS_UUID.search(json.dumps(works.body)):
        return  # nothing of the victim's is named there
    before = await ledger(stage.s)
    answers = [said(await send(stage, works.saying(body))) for body in (works.body, elsewhere(works.body))]
    assert answers[0] == answers[1]
    assert 400 <= answers[0][0] < 500
    assert await ledger(stage.s) == before


async def read_everything(stage: Stage, member: str, of: Parties) -> dict[str, httpx.Response]:
    """Every list, export, series and trail as the member gets it; where an id is due, those parties' id."""
    answers = {}
    for route in routes_of(stage.s.name):
        if route in LISTS:
            works = await ready(stage, route, of)
            most = (
                {"limit": "1000"}
                if any(each["name"] == "limit" for each in route.parameters("query"))
                else {}
            )
            answers[route.label] = await send(stage, works.by(member), query={**works.query, **most})
    return answers


def secrets_of(stage: Stage) -> set[str]:
    """The word in the victim's titles, and the ids of its objects; its organization others may know."""
    ids = {
        found
        for (word, kind), found in stage.made.items()
        if word == stage.victim.word and kind not in KNOWN_BY
    }
    return {stage.victim.word, str(stage.victim.charter_id), *ids}


def spilled(stage: Stage, answers: dict[str, httpx.Response]) -> list[tuple[str, str]]:
    return [
        (label, secret)
        for label, answer in answers.items()
        for secret in secrets_of(stage)
        if secret in answer.text
    ]


def numbers_in(answers: Iterable[httpx.Response]) -> set[str]:
    return {
        number for answer in answers for number in re.findall(r"\b[A-Z]{2,4}-FY\d\d-\d{4}\b", answer.text)
    }


@pytest.mark.parametrize("service", SERVICES)
async def test_the_search_for_leaks_finds_everything_in_the_owners_answers(
    service: str, populated: StageOf
) -> None:
    """A search that finds nothing anywhere would prove nothing."""
    stage = await populated(service)
    everything = await read_everything(stage, "customer.om_team", stage.victim)
    found = {secret for _, secret in spilled(stage, everything)}
    letters = stage.made[stage.victim.word, "dead_letters"]
    assert secrets_of(stage) - found - {letters} - absent(stage) == set()


def absent(stage: Stage) -> set[str]:
    """The charter as seeded is not the one that was drafted through the charter service."""
    return {str(stage.victim.charter_id)} if stage.s.name == "charter" else set()


OPERATORS_SEE = ("dead_letters", "endpoints", "deliveries")
"""What belongs to no charter: an operator reads that somebody did something to it, and nothing of what it says."""
SNOOPS = (
    "other.om_team",
    "customer2.om_team",
    "provider2.om_team",
    "observer2.om_team",
    "sysadmin",
    f"customer.{FORMER}",
)


@pytest.mark.parametrize("snoop", SNOOPS)
@pytest.mark.parametrize("service", SERVICES)
async def test_no_list_export_series_or_trail_tells_a_stranger_anything(
    service: str, snoop: str, populated: StageOf
) -> None:
    stage = await populated(service)
    extra = [await ready(stage, route) for route in routes_of(service) if route.name.startswith("create_")]
    for works in extra:
        await send(stage, works)
    answers = await read_everything(stage, snoop, stage.victim)
    seen = OPERATORS_SEE if snoop == "sysadmin" else ()
    known = {found for (_, kind), found in stage.made.items() if kind in seen}
    assert [leak for leak in spilled(stage, answers) if leak[1] not in known] == []


@pytest.mark.parametrize(("neighbour", "which"), [("customer2", "second"), ("provider2", "third")])
@pytest.mark.parametrize("service", ["charter", "sla", "changes"])
async def test_a_neighbour_sees_the_numbers_of_its_own_charter_only(
    service: str, neighbour: str, which: str, populated: StageOf
) -> None:
    stage = await populated(service)
    own: Parties = getattr(stage, which)
    works = [await ready(stage, route) for route in routes_of(service) if route.name.startswith("create_")]
    for each in works:
        await send(stage, each)
    seen = await read_everything(stage, f"{neighbour}.om_team", own)
    insider = "provider" if neighbour == "customer2" else "customer"
    both = await read_everything(stage, f"{insider}.om_team", own)
    of_charter = {label: answer for label, answer in both.items() if "audit" not in label}
    items = [row for answer in of_charter.values() for row in rows_of(answer)]
    allowed = {
        row["number"] for row in items if row.get("number") and row_charter(row) == charter_id(stage, own)
    }
    assert numbers_in(seen.values()) - numbers_in([seen[f"GET /{service}/v1/audit"]]) <= allowed
    assert allowed, "the neighbour has nothing of its own to see"
    assert {row.get("number") for row in items} - allowed - {None}, "the victim has no number of its own"


def rows_of(answer: httpx.Response) -> list[dict[str, Any]]:
    if not answer.is_success or answer.headers["content-type"] != "application/json":
        return []
    items: list[dict[str, Any]] = answer.json().get("items", [])
    return items


def row_charter(row: dict[str, Any]) -> str:
    return str(row.get("charter_id", row.get("id")))


def charter_id(stage: Stage, of: Parties) -> str:
    return stage.made[of.word, "charters"] if stage.s.name == "charter" else str(of.charter_id)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.method == "POST"], ids=lambda route: route.label)
async def test_a_stored_answer_is_given_again_to_nobody_else(route: Route, populated: StageOf) -> None:
    """The same key, path and body as the victim's, by strangers and by a colleague: no answer of the victim's."""
    stage = await populated(route.service)
    works = await ready(stage, route)
    key = {"Idempotency-Key": f"the-victims-{uuid7()}"}
    etag = await version_of(stage, works)
    await send(stage, works, etag=etag, headers=key)
    again = await send(stage, works, etag=etag, headers=key)
    assert again.headers.get("Idempotency-Replayed") == "true" or again.json()["code"] in KEPT_NOWHERE
    for member in (*(stranger(route.action, each) for each in STRANGERS), "customer.isso", "provider.isso"):
        if member != works.member:
            answer = await send(stage, works.by(member), etag=etag, headers=key)
            assert "Idempotency-Replayed" not in answer.headers, member


KEPT_NOWHERE = {"answer_not_kept", "no_consumer"}


def test_ids_in_answers_are_recognized() -> None:
    assert IS_UUID.fullmatch(str(UUID(int=2**128 - 1)))
    assert elsewhere({"a": [str(UUID(int=1))]}) != {"a": [str(UUID(int=1))]}
