"""Voting over HTTP: one vote per party, the decision record, deadlock, deferral."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from shared.contracts.changes import (
    ChangeApproved,
    ChangeDeferred,
    ChangeRejected,
    EscalationClosed,
    EscalationRaised,
    MatterEscalated,
    MatterPositionTaken,
)
from shared.pure.canonical import content_hash
from shared.pure.hashing import sha256_hex
from tests.conftest import StartService
from tests.support.changes import CHANGES, JOWG_IMPACT, act, ok, problem, read, submitted, vote
from tests.support.harness import RunningService

DECISIONS = "/changes/v1/decisions"
C, P = "customer.om_team", "provider.om_team"


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


async def test_what_was_decided_upon_is_served_byte_for_byte(s: RunningService) -> None:
    """As it was written when it was put: what the row says later, or how texts are written then, is of no matter."""
    change = await submitted(s)
    async with s.kernel.database.system() as session:
        await session.execute(
            text("UPDATE change_request SET title = 'Retouched' WHERE id = :id"), {"id": UUID(change["id"])}
        )
    decided = await vote(s, P, await vote(s, C, change, "approve"), "approve")
    path = f"{DECISIONS}/{decided['decision_id']}"
    answer = await s.get("observer.observer", f"{path}/text")
    decision = ok(await s.get(C, path))
    assert (answer.status_code, answer.headers["Text-Format"]) == (200, "1")
    assert sha256_hex(answer.content) == answer.headers["Content-Hash"] == decision["subject_hash"]
    assert answer.json() == decision["subject_snapshot"]
    assert decision["subject_snapshot"]["title"] == change["title"]
    assert problem(await s.get("other.om_team", f"{path}/text"), 404) == "not_found"


@pytest.mark.parametrize("table", ["matter", "decision"])
async def test_a_hash_that_is_not_that_of_its_text_cannot_be_stored(s: RunningService, table: str) -> None:
    decided = await vote(s, P, await vote(s, C, await submitted(s), "approve"), "approve")
    columns = ", ".join(await columns_of(s, table))
    forged = columns.replace("subject_text", "'forged'::bytea").replace("id,", "gen_random_uuid(),", 1)
    copy = f"INSERT INTO {table} ({columns}) SELECT {forged} FROM {table} WHERE subject_id = :id"
    with pytest.raises(IntegrityError, match="subject_hash"):
        async with s.kernel.database.system() as session:
            await session.execute(text(copy), {"id": UUID(decided["id"])})


async def columns_of(s: RunningService, table: str) -> list[str]:
    """`id` first."""
    async with s.kernel.database.system() as session:
        names = await session.scalars(
            text(
                "SELECT column_name FROM information_schema.columns WHERE table_name = :table AND table_schema = 'changes'"
            ),
            {"table": table},
        )
        return sorted(names, key=lambda name: name != "id")


async def test_two_approvals_at_the_board_approve_and_leave_a_decision_record(s: RunningService) -> None:
    change = await submitted(s)
    first = await vote(s, C, change, "approve", conditions="Test in October.")
    assert (first["state"], [v["status"] for v in first["votes"]]) == ("pending_decision", ["standing"])
    assert (await s.events(MatterPositionTaken))[-1].party == "customer"
    assert not [e for e in await s.events(ChangeApproved) if e.number == change["number"]]

    done = await vote(s, P, first, "approve", dissent="Two of our six would wait.")
    assert (done["state"], done["clock"]) == ("approved", None)
    assert {v["status"] for v in done["votes"]} == {"counted"}
    event = (await s.events(ChangeApproved))[-1]
    assert (event.number, event.body, event.conditions) == (
        change["number"],
        "smb",
        "customer: Test in October.",
    )

    decision = ok(await s.get("observer.observer", f"{DECISIONS}/{event.decision_id}"))
    assert decision["number"].startswith("DEC-FY27-")
    assert (decision["outcome"], decision["body"], decision["charter_version"]) == ("approved", "smb", 1)
    assert [(v["party"], v["member_name"]) for v in decision["votes"]] == [
        ("customer", "Customer Om Team"),
        ("provider", "Provider Om Team"),
    ]
    assert decision["dissent"] == "provider: Two of our six would wait."
    assert decision["rules"]["cost_one_time"] == "cost_one_time/t2"
    assert decision["subject_hash"] == content_hash(decision["subject_snapshot"])
    assert decision["subject_snapshot"]["impact"]["cost_one_time"] == "180000.00"


@pytest.mark.parametrize(("choice", "state", "kind"), [("reject", "rejected", ChangeRejected)])
async def test_two_rejections_reject(
    s: RunningService, choice: str, state: str, kind: type[ChangeRejected]
) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    done = await vote(s, C, await vote(s, P, change, choice), choice)
    assert done["state"] == state
    assert "discussed" in (await s.events(kind))[-1].reason


async def test_a_party_may_change_its_vote_until_the_other_has_voted(s: RunningService) -> None:
    change = await vote(s, C, await submitted(s), "reject")
    change = await vote(s, "customer.isso", change, "approve")
    assert [(v["vote"], v["status"]) for v in change["votes"]] == [
        ("reject", "replaced"),
        ("approve", "standing"),
    ]
    done = await vote(s, P, change, "approve")
    assert done["state"] == "approved"


async def test_nobody_votes_on_their_own_proposal(s: RunningService) -> None:
    change = await submitted(s, C)
    ballot = {"vote": "approve", "rationale": "I like my idea."}
    answer = await s.post(C, f"{CHANGES}/{change['id']}/decide", ballot, version=change["version"])
    assert problem(answer, 409) == "own_proposal"
    colleague = await vote(s, "customer.isso", change, "approve")
    assert (await vote(s, P, colleague, "approve"))["state"] == "approved"


@pytest.mark.parametrize(
    "member", ["customer.executive_sponsor", "provider.secretariat", "customer.org_admin"]
)
async def test_only_seated_members_vote(s: RunningService, member: str) -> None:
    change = await submitted(s)
    ballot = {"vote": "approve", "rationale": "yes"}
    answer = await s.post(member, f"{CHANGES}/{change['id']}/decide", ballot, version=change["version"])
    assert problem(answer, 409) == "not_seated"


async def test_a_decided_request_takes_no_more_votes(s: RunningService) -> None:
    change = await submitted(s)
    done = await vote(s, P, await vote(s, C, change, "approve"), "approve")
    late = await s.post(
        C, f"{CHANGES}/{change['id']}/decide", {"vote": "reject", "rationale": "oh"}, version=done["version"]
    )
    assert problem(late, 409) == "not_allowed"


async def test_of_two_votes_at_once_the_second_must_read_again(s: RunningService) -> None:
    change = await submitted(s)
    path, ballot = f"{CHANGES}/{change['id']}/decide", {"vote": "approve", "rationale": "go"}
    answers = await asyncio.gather(
        s.post(C, path, ballot, version=change["version"]), s.post(P, path, ballot, version=change["version"])
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert len((await read(s, change))["votes"]) == 1


async def test_different_votes_deadlock_and_the_next_body_decides(s: RunningService) -> None:
    change = await submitted(s)
    stuck = await vote(s, P, await vote(s, C, change, "approve"), "reject")
    assert (stuck["state"], stuck["body"], stuck["tier"]) == ("pending_decision", "esc", 3)
    assert {v["status"] for v in stuck["votes"]} == {"void"}
    assert stuck["explanation"][0]["rule"] == "cost_one_time/t3"
    raised = (await s.envelopes(EscalationRaised))[-1]
    assert (raised["data"]["cause"], raised["data"]["from_body"], raised["data"]["to_body"]) == (
        "deadlock",
        "smb",
        "esc",
    )
    assert raised["actorid"] == "system"
    assert (await s.events(MatterEscalated))[-1].body == "esc"

    owner = await vote(s, P.replace("om_team", "business_owner"), stuck, "approve")
    assert owner["votes"][-1]["status"] == "standing"


async def test_the_next_body_decides_what_deadlocked_and_the_escalation_closes(s: RunningService) -> None:
    change = await submitted(s, C)
    stuck = await vote(s, P, await vote(s, "customer.isso", change, "reject"), "approve")
    done = await vote(s, "customer.business_owner", stuck, "approve")
    done = await vote(s, "provider.business_owner", done, "approve")
    assert done["state"] == "approved"
    closed = (await s.events(EscalationClosed))[-1]
    assert (closed.subject_number, closed.outcome) == (change["number"], "approved")
    decision = ok(await s.get(C, f"{DECISIONS}/{done['decision_id']}"))
    assert (decision["body"], decision["rules"]["cost_one_time"]) == ("esc", "cost_one_time/t3")


async def test_a_deadlock_at_the_last_rung_lasts_until_a_party_gives_way(s: RunningService) -> None:
    change = await submitted(s, requested_body="esf", reason_code="legal_policy")
    sponsors = ("customer.executive_sponsor", "provider.executive_sponsor")
    stuck = await vote(s, sponsors[1], await vote(s, sponsors[0], change, "approve"), "reject")
    assert (stuck["state"], stuck["body"]) == ("pending_decision", "esf")
    assert (await vote(s, sponsors[1], stuck, "approve"))["state"] == "approved"


async def test_a_deferred_request_resumes_at_its_body_with_new_votes_and_a_new_clock(
    s: RunningService,
) -> None:
    change = await submitted(s)
    deferred = await vote(s, P, await vote(s, C, change, "defer"), "defer")
    assert (deferred["state"], deferred["clock"]) == ("deferred", None)
    assert (await s.events(ChangeDeferred))[-1].number == change["number"]
    resumed = await act(s, P, deferred, "resume", {"reason": "The funds arrived."})
    assert (resumed["state"], resumed["body"]) == ("pending_decision", "smb")
    assert resumed["clock"] is not None
    assert (resumed["decision_id"], resumed["decided_at"]) == (None, None)
    done = await vote(s, P, await vote(s, C, resumed, "approve"), "approve")
    assert done["state"] == "approved"
    page = ok(await s.get(C, DECISIONS, subject_id=change["id"]))
    assert [d["outcome"] for d in page["items"]] == ["approved", "deferred"]


async def test_a_deferred_request_that_is_withdrawn_is_decided_no_more(s: RunningService) -> None:
    change = await submitted(s, C)
    deferred = await vote(s, P, await vote(s, "customer.isso", change, "defer"), "defer")
    gone = await act(s, C, deferred, "withdraw", {"reason": "Not needed any more."})
    assert (gone["state"], gone["decision_id"], gone["decided_at"]) == ("withdrawn", None, None)


async def test_the_decision_register_exports_as_csv(s: RunningService) -> None:
    change = await submitted(s)
    await vote(s, P, await vote(s, C, change, "reject"), "reject")
    answer = await s.get(C, f"{DECISIONS}.csv", outcome="rejected", subject_id=change["id"])
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["subject_number"], row["outcome"], row["body"]) for row in rows] == [
        (change["number"], "rejected", "smb")
    ]


async def test_a_foreign_organization_finds_no_decision(s: RunningService) -> None:
    change = await submitted(s)
    done = await vote(s, P, await vote(s, C, change, "approve"), "approve")
    assert problem(await s.get("other.om_team", f"{DECISIONS}/{done['decision_id']}"), 404) == "not_found"
    assert ok(await s.get("other.om_team", DECISIONS))["items"] == []


@pytest.mark.parametrize("statement", ["UPDATE decision SET outcome = 'rejected'", "DELETE FROM decision"])
async def test_the_service_itself_cannot_change_a_decision(s: RunningService, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with s.kernel.database.system() as session:
            await session.execute(text(statement))
