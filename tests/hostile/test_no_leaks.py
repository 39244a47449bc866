"""Lists, exports, series and trails: what strangers, neighbours and operators read holds nothing of the victim's."""

import re
from collections.abc import Iterable
from typing import Any

import httpx
import pytest

from services.registry import SERVICES
from tests.hostile.conftest import StageOf
from tests.hostile.objects import KNOWN_BY, ready
from tests.hostile.routes import all_routes, routes_of
from tests.hostile.support import FORMER, Parties, Stage, send

LISTS = [route for route in all_routes() if route.method == "GET" and not route.ids()]


async def read_everything(stage: Stage, member: str, of: Parties) -> dict[str, httpx.Response]:
    """Every list, export, series and trail as the member gets it; where an id is due, those parties' id."""
    answers = {}
    for route in routes_of(stage.s.name):
        if route in LISTS:
            works = (await ready(stage, route, of)).by(member)
            is_paged = any(each["name"] == "limit" for each in route.parameters("query"))
            query = {**works.query, "limit": "1000"} if is_paged else works.query
            answers[route.label] = await send(stage, works, query=query)
    return answers


def secrets_of(stage: Stage) -> set[str]:
    """The word in the victim's titles, and the ids of its objects; its organization others may know."""
    ids = {
        secret
        for (word, kind), secret in stage.made.items()
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
    spilt = {secret for _, secret in spilled(stage, everything)}
    letters = stage.made[stage.victim.word, "dead_letters"]
    assert secrets_of(stage) - spilt - {letters} - absent(stage) == set()


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
    known = {value for (_, kind), value in stage.made.items() if kind in seen}
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
