"""Matters over HTTP: what a body has, whatever its subject, and what it asks of its seats."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from services.changes.matters.schemas import Matter
from shared.contracts.base import Ask
from shared.contracts.changes import (
    ChangeApproved,
    MatterDecided,
    MatterEscalated,
    MatterOpened,
    MatterPositionTaken,
)
from tests.conftest import StartService
from tests.support.changes import CHANGES, JOWG_IMPACT, act, ok, problem, read, submitted, vote
from tests.support.harness import RunningService

MATTERS = "/changes/v1/matters"
C, P = "customer.om_team", "provider.om_team"
UP = {"reason_code": "blocked", "what_was_tried": "Two meetings without a quorum."}


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


async def matter_of(s: RunningService, change: dict[str, Any]) -> dict[str, Any]:
    """The newest matter of a change request, as a reader sees it."""
    page = ok(await s.get(C, MATTERS, subject_id=change["id"]))
    return ok(await s.get(C, f"{MATTERS}/{page['items'][0]['id']}"))


def asked(asks: tuple[Ask, ...]) -> dict[str, bool]:
    """Which seats are asked, and whether they must answer."""
    return {ask.seats[0]: not ask.optional for ask in asks}


async def test_a_change_request_is_a_matter_of_the_body_that_decides_it(s: RunningService) -> None:
    change = await submitted(s)
    matter = await matter_of(s, change)
    about = ("subject_kind", "subject_id", "subject_number", "title", "decision_class", "state", "body")
    assert [matter[name] for name in about] == [
        "change_request",
        change["id"],
        change["number"],
        change["title"],
        "change.normal",
        "open",
        "smb",
    ]
    for name in ("clock", "explanation", "impact", "severity", "computed_body", "tier"):
        assert matter[name] == change[name]
    opened = (await s.envelopes(MatterOpened))[-1]
    assert (opened["subject"], opened["sequence"]) == (matter["id"], matter["version"])
    assert opened["data"]["subject_hash"] == matter["subject_hash"]


async def test_every_voting_seat_of_the_body_is_asked_by_the_end_of_its_clock(s: RunningService) -> None:
    change = await submitted(s)
    asks = (await s.events(MatterOpened))[-1].asks
    seats = [
        f"{party}.{role}"
        for party in ("customer", "provider")
        for role in ("om_team.1", "om_team.2", "isso.1")
    ]
    assert asked(asks) == dict.fromkeys(seats, True)
    assert {ask.due_at for ask in asks} == {(await s.events(MatterOpened))[-1].clock_ends_at}
    assert {ask.act for ask in asks} == {"decide"}
    assert ok(await s.get(C, asks[0].link))["subject_id"] == change["id"]


async def test_a_position_removes_its_own_ask_and_makes_those_of_its_party_optional(
    s: RunningService,
) -> None:
    before = await vote(s, C, await submitted(s), "approve")
    opened, taken = (await s.events(MatterOpened))[-1], (await s.events(MatterPositionTaken))[-1]
    assert (taken.seat, taken.party, taken.role, taken.vote) == (
        "customer.om_team.1",
        "customer",
        "om_team",
        "approve",
    )
    assert asked(taken.asks) == {
        "customer.om_team.2": False,
        "customer.isso.1": False,
        "provider.om_team.1": True,
        "provider.om_team.2": True,
        "provider.isso.1": True,
    }
    ids = {ask.seats: ask.ask_id for ask in opened.asks}
    assert all(ids[ask.seats] == ask.ask_id for ask in taken.asks)
    await vote(s, P, before, "approve")
    assert (await s.events(MatterDecided))[-1].asks == ()


async def test_the_next_body_is_asked_anew(s: RunningService) -> None:
    change = await act(s, C, await submitted(s, impact=JOWG_IMPACT), "escalate", UP)
    escalated = (await s.events(MatterEscalated))[-1]
    assert (escalated.from_body, escalated.body, escalated.reason_code) == ("jowg", "smb", "blocked")
    assert str(escalated.escalation_id) == change["escalation_id"]
    assert len(asked(escalated.asks)) == 6
    assert not {a.ask_id for a in escalated.asks} & {
        a.ask_id for a in (await s.events(MatterOpened))[-1].asks
    }


async def test_both_parties_decide_a_matter_by_itself_and_its_subject_takes_the_decision(
    s: RunningService,
) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    matter = await matter_of(s, change)
    for member in (C, P):
        path = f"{MATTERS}/{matter['id']}/decide"
        ballot = {"vote": "approve", "rationale": "needed"}
        matter = ok(await s.post(member, path, ballot, version=matter["version"]))
    assert matter["state"] == "decided"
    assert [(v["seat"], v["status"]) for v in matter["votes"]] == [
        ("customer.om_team.1", "counted"),
        ("provider.om_team.1", "counted"),
    ]
    assert [line["action"] for line in matter["timeline"]] == [
        "matter.open",
        "matter.vote",
        "matter.vote",
        "matter.decide",
    ]
    after = await read(s, change)
    assert (after["state"], after["decision_id"]) == ("approved", matter["decision_id"])
    assert (await s.events(ChangeApproved))[-1].number == change["number"]
    decided = (await s.events(MatterDecided))[-1]
    assert (decided.outcome, decided.subject_hash) == ("approved", matter["subject_hash"])
    decision = ok(await s.get(C, f"/changes/v1/decisions/{matter['decision_id']}"))
    assert decision["subject_hash"] == matter["subject_hash"]


async def test_what_happens_to_the_matter_alone_gives_the_request_a_new_version(s: RunningService) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    matter = await matter_of(s, change)
    await s.post(P, f"{MATTERS}/{matter['id']}/escalate", UP, version=matter["version"])
    stale = await s.post(C, f"{CHANGES}/{change['id']}/escalate", UP, version=change["version"])
    assert problem(stale, 412) == "version_changed"
    after = await read(s, change)
    assert (after["body"], after["version"] > change["version"]) == ("smb", True)


async def test_the_history_of_a_resumed_request_holds_both_of_its_matters(s: RunningService) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    deferred = await vote(s, P, await vote(s, C, change, "defer"), "defer")
    first = await matter_of(s, change)
    resumed = await act(s, P, deferred, "resume", {"reason": "The funds arrived."})
    second = await matter_of(s, change)
    assert (first["state"], second["state"], second["body"]) == ("decided", "open", first["body"])
    assert first["id"] != second["id"]
    assert [(line["action"], line["state"]) for line in resumed["timeline"]] == [
        ("change.submit", "submitted"),
        ("matter.open", "pending_decision"),
        ("matter.vote", "pending_decision"),
        ("matter.vote", "pending_decision"),
        ("matter.decide", "pending_decision"),
        ("change.defer", "deferred"),
        ("change.resume", "pending_decision"),
        ("matter.open", "pending_decision"),
    ]
    assert [v["status"] for v in resumed["votes"]] == ["counted", "counted"]


async def test_matters_are_listed_by_kind_subject_state_body_charter_and_last_change(
    s: RunningService,
) -> None:
    change = await submitted(s)
    matter = await matter_of(s, change)

    async def ids(**wanted: str) -> set[str]:
        return {item["id"] for item in ok(await s.get(P, MATTERS, limit=1000, **wanted))["items"]}

    fits = {
        "subject_kind": "change_request",
        "state": "open",
        "body": "smb",
        "charter_id": str(s.world.charter_id),
        "since": "2026-11-10T15:00:00Z",
    }
    assert matter["id"] in await ids(**fits)
    for other in (
        {"subject_kind": "sla_dispute"},
        {"subject_id": str(uuid4())},
        {"state": "decided"},
        {"body": "jowg"},
        {"charter_id": str(uuid4())},
        {"since": "2026-11-10T15:00:01Z"},
    ):
        assert matter["id"] not in await ids(**fits | other)
    page = ok(await s.get(P, MATTERS, subject_id=change["id"]))
    assert page["items"] == [{name: matter[name] for name in Matter.model_fields}]


async def test_matters_export_as_csv(s: RunningService) -> None:
    change = await submitted(s)
    answer = await s.get(P, f"{MATTERS}.csv", subject_id=change["id"])
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["subject_id"], row["state"], row["body"]) == (change["id"], "open", "smb")
    assert row["clock_ends_at"].startswith("2026-11-25T22:00:00")


async def test_an_observer_reads_a_matter_and_a_stranger_finds_none(s: RunningService) -> None:
    matter = await matter_of(s, await submitted(s))
    path = f"{MATTERS}/{matter['id']}"
    assert ok(await s.get("observer.observer", path))["id"] == matter["id"]
    assert problem(await s.get("other.om_team", path), 404) == "not_found"
    ballot = {"vote": "approve", "rationale": "yes"}
    answer = await s.post("observer.om_team", f"{path}/decide", ballot, version=matter["version"])
    assert problem(answer, 403) == "other_party"
