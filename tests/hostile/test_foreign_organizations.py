"""Foreign organizations: neighbours that share one party, a stranger, an onlooker, a removed member, an operator.

What they are told about the victim's objects is what they are told about objects that do not exist.
"""

import json
import re
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.contracts.governance import Role
from shared.data.ids import uuid7
from tests.hostile.conftest import StageOf
from tests.hostile.objects import KNOWN_BY, id_for, ready
from tests.hostile.routes import Route, all_routes
from tests.hostile.support import (
    FORMER,
    Ready,
    Stage,
    is_problem,
    ledger,
    send,
    stranger,
    version_of,
)

STRANGERS = ("other", "customer2", "provider2")
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
IS_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def seen_of(answer: httpx.Response) -> tuple[int, str]:
    """The answer without what differs between any two: which path was asked, and which request it was."""
    if not is_problem(answer):
        return answer.status_code, answer.text
    return answer.status_code, json.dumps(answer.json() | {"instance": "", "request_id": ""})


def elsewhere(value: Any) -> Any:
    """The same with every id replaced by one that nobody has."""
    return json.loads(IS_UUID.sub(lambda _: str(uuid7()), json.dumps(value)))


async def answers_to(
    stage: Stage, works: Ready, member: str, etag: str
) -> tuple[tuple[int, str], tuple[int, str]]:
    """What a member is told about an object, and about one that does not exist."""
    asking = works.by(member)
    missing = route_to_nowhere(asking)
    return seen_of(await send(stage, asking, etag=etag)), seen_of(await send(stage, missing, etag=etag))


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
    foreign, missing = await answers_to(stage, works, stranger(route.action, organization), etag)
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
    theirs, missing = await answers_to(stage, works, f"customer.{FORMER}", '"1"')
    assert theirs == missing
    assert (theirs[0], json.loads(theirs[1])["code"]) == (403, "not_a_member")
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
        answers = [seen_of(await send(stage, works, query=query)) for query in (foreign, elsewhere(foreign))]
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
    answers = [seen_of(await send(stage, works.saying(body))) for body in (works.body, elsewhere(works.body))]
    assert answers[0] == answers[1]
    assert 400 <= answers[0][0] < 500
    assert await ledger(stage.s) == before


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
