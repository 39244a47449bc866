"""Matters that other services put by event: each put is answered, each crossing settled, nothing is set aside."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.contracts.base import Event
from shared.contracts.changes import (
    MatterDecided,
    MatterFact,
    MatterOpened,
    MatterReassigned,
    MatterRefused,
    MatterStale,
    MatterWithdrawn,
    MatterWithdrawRefused,
)
from shared.contracts.governance import Severity
from shared.contracts.matters import (
    MatterOutcomeNotApplied,
    MatterPut,
    MatterSubjectChanged,
    MatterWithdrawAsked,
)
from shared.data.ids import uuid7
from shared.messaging.bus import RetryLater
from tests.conftest import StartService
from tests.support.changes import ok, problem
from tests.support.harness import RunningService

MATTERS = "/changes/v1/matters"
C, P = "customer.om_team", "provider.om_team"
SMALL = {"agreement": "administrative"}


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


@dataclass
class Elsewhere:
    """The service of a subject that is no subject of ours: it puts one matter and goes on speaking about it."""

    s: RunningService
    matter_id: UUID = field(default_factory=uuid7)
    subject_id: UUID = field(default_factory=uuid7)
    version: int = 0
    kind: str = "issue"

    async def say(self, event: Event, **more: Any) -> None:
        self.version += 1
        await self.s.publish(event, aggregate_id=self.matter_id, version=self.version, **more)

    async def put(self, *, attributes: Any = None, **over: Any) -> None:
        about = {
            **self.subject(),
            "decision_class": "issue",
            "question": "What shall be done about it?",
            "origin": "customer",
            "requester_id": None,
            "requester_name": "sla",
            "charter_version": None,
            "requested_body": None,
            "reason_code": None,
        }
        await self.say(MatterPut.model_validate(about | over), **(attributes or {}))

    async def change(self, **over: Any) -> None:
        fact = {**self.subject(), "subject_hash": "b" * 64, "what_changed": "the text"} | over
        await self.say(MatterSubjectChanged.model_validate(fact))

    async def withdraw(self) -> None:
        await self.say(
            MatterWithdrawAsked(
                matter_id=self.matter_id,
                subject_kind=self.kind,
                subject_id=self.subject_id,
                reason="solved otherwise",
            )
        )

    async def not_applied(self, decision_id: str, **over: Any) -> None:
        fact = {
            **self.subject(),
            "subject_hash": "b" * 64,
            "decision_id": decision_id,
            "reason": "subject_changed",
            "waits": True,
        }
        await self.say(MatterOutcomeNotApplied.model_validate(fact | over))

    def subject(self) -> dict[str, Any]:
        return {
            "matter_id": self.matter_id,
            "subject_kind": self.kind,
            "subject_id": self.subject_id,
            "subject_number": "ISS-FY27-0001",
            "title": "Late payroll files",
            "subject_hash": "a" * 64,
            "impact": {},
            "severity": "moderate",
        }

    async def matter(self) -> dict[str, Any]:
        return ok(await self.s.get(C, f"{MATTERS}/{self.matter_id}"))

    async def vote(self, member: str, choice: str = "approve") -> dict[str, Any]:
        ballot = {"vote": choice, "rationale": "discussed"}
        version = (await self.matter())["version"]
        return ok(await self.s.post(member, f"{MATTERS}/{self.matter_id}/decide", ballot, version=version))

    async def decided(self) -> dict[str, Any]:
        """Open, then decided by both parties."""
        await self.put()
        await self.vote(C)
        return await self.vote(P)

    async def answers(self) -> list[str]:
        """The types of what the matter's service said about it, in order, without the prefix and `.v1`."""
        async with self.s.kernel.database.system() as session:
            rows = await session.scalars(
                text("SELECT event_type FROM event WHERE aggregate_id = :id ORDER BY aggregate_version"),
                {"id": self.matter_id},
            )
            return [row.removeprefix("org.concordat.matter.").removesuffix(".v1") for row in rows]

    async def last(self, kind: type[MatterFact]) -> Any:
        return [event for event in await self.s.events(kind) if event.matter_id == self.matter_id][-1]


@pytest.fixture
async def elsewhere(s: RunningService) -> AsyncIterator[Elsewhere]:
    """A subject of another service. Whatever happened to it, no message was set aside."""
    yield Elsewhere(s)
    assert await set_aside(s) == 0


async def set_aside(s: RunningService) -> int:
    async with s.kernel.database.system() as session:
        return int(await session.scalar(text("SELECT count(*) FROM dead_letter")) or 0)


async def test_what_is_put_is_opened_at_the_body_that_decides_it(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    matter = await elsewhere.matter()
    assert (matter["state"], matter["subject_kind"], matter["subject_id"]) == (
        "open",
        "issue",
        str(elsewhere.subject_id),
    )
    opened = await elsewhere.last(MatterOpened)
    assert (opened.subject_hash, opened.body, bool(opened.asks)) == ("a" * 64, matter["body"], True)


@pytest.mark.parametrize(
    ("put", "starts"),
    [
        (timedelta(hours=-1), timedelta(hours=-1)),
        (timedelta(hours=1), timedelta()),
        (timedelta(days=-90), timedelta()),
    ],
    ids=["an hour ago", "by a clock ahead of ours", "so long ago that its time would be over"],
)
async def test_its_clock_runs_since_it_was_put(
    elsewhere: Elsewhere, put: timedelta, starts: timedelta
) -> None:
    now = elsewhere.s.clock()
    await elsewhere.put(attributes={"at": now + put})
    clock = (await elsewhere.matter())["clock"]
    assert clock["starts_at"] == (now + starts).isoformat().replace("+00:00", "Z")


async def test_a_matter_put_twice_is_put_once(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    event_id = uuid7()
    for _ in range(2):
        await elsewhere.put(attributes={"event_id": event_id})
    await elsewhere.put(title="Another title")
    assert await elsewhere.answers() == ["opened"]
    assert (await elsewhere.matter())["title"] == "Late payroll files"


async def test_what_was_refused_stays_refused_however_often_it_is_put(elsewhere: Elsewhere) -> None:
    await elsewhere.put(decision_class="gossip")
    await elsewhere.put()
    assert await elsewhere.answers() == ["refused"]


REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"subject_kind": "rumour"}, "unknown_kind", None),
    ({"subject_kind": "change_request", "decision_class": "change.normal"}, "not_by_event", None),
    ({"decision_class": "gossip"}, "unknown_decision_class", None),
    ({"severity": "dire"}, "unknown_severity", "/severity"),
    ({"origin": "auditor"}, "unknown_origin", "/origin"),
    ({"reason_code": "vanity"}, "unknown_reason_code", "/reason_code"),
    ({"impact": {"beauty": "high"}}, "unknown_dimension", "/impact/beauty"),
    ({"impact": {"cost_one_time": "-1"}}, "negative_amount", "/impact/cost_one_time"),
    ({"impact": {"security_impact": "huge"}}, "unknown_level", "/impact/security_impact"),
    ({"requested_body": "moon"}, "unknown_body", "/requested_body"),
    ({"requested_body": "esc"}, "reason_code_required", "/reason_code"),
    ({"subject_kind": "sla_dispute", "decision_class": "sla_dispute"}, "assess_first", "/impact/sla_dispute"),
    (
        {
            "subject_kind": "sla_dispute",
            "decision_class": "sla_dispute",
            "origin": "provider",
            "impact": {"sla_dispute": "single_metric"},
        },
        "may_not_put",
        None,
    ),
]


@pytest.mark.parametrize(("over", "code", "pointer"), REFUSED, ids=[code for _, code, _ in REFUSED])
async def test_what_cannot_be_decided_is_answered_with_the_reason(
    elsewhere: Elsewhere, over: dict[str, Any], code: str, pointer: str | None
) -> None:
    await elsewhere.put(**over)
    refused = await elsewhere.last(MatterRefused)
    assert (refused.code, refused.pointer, refused.asks) == (code, pointer, ())
    assert (await elsewhere.matter())["state"] == "refused"
    assert await elsewhere.answers() == ["refused"]


async def test_words_unknown_here_are_empty_in_the_refused_matter(elsewhere: Elsewhere) -> None:
    await elsewhere.put(severity="dire", origin="auditor")
    matter = await elsewhere.matter()
    assert (matter["severity"], matter["origin"]) == (None, None)


async def test_a_put_too_long_to_be_answered_as_opened_is_refused_and_leaves_no_clock(
    elsewhere: Elsewhere,
) -> None:
    """Each seat's ask repeats the question, so what opens it may be longer than what put it."""
    await elsewhere.put(question="x" * 100_000)
    assert (await elsewhere.last(MatterRefused)).code == "event_too_large"
    async with elsewhere.s.kernel.database.system() as session:
        clocks = "SELECT count(*) FROM due WHERE subject_id = :id"
        assert await session.scalar(text(clocks), {"id": elsewhere.matter_id}) == 0


async def test_one_subject_has_one_open_matter_of_a_class(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    second = replace(elsewhere, matter_id=uuid7(), version=0)
    await second.put()
    assert (await second.last(MatterRefused)).code == "already_open"
    await elsewhere.withdraw()
    third = replace(elsewhere, matter_id=uuid7(), version=0)
    await third.put()
    assert await third.answers() == ["opened"]


async def test_who_may_put_it_is_asked_of_the_roles_of_the_person(elsewhere: Elsewhere) -> None:
    await elsewhere.put(attributes={"actorid": str(uuid7()), "actorrole": "isso,astrologer"})
    assert (await elsewhere.last(MatterRefused)).code == "may_not_put"
    second = Elsewhere(elsewhere.s)
    await second.put(attributes={"actorid": str(uuid7()), "actorrole": "isso,om_team"})
    assert await second.answers() == ["opened"]


async def test_a_put_under_a_charter_not_known_yet_waits_for_it(elsewhere: Elsewhere) -> None:
    s = elsewhere.s
    with pytest.raises(RetryLater):
        await elsewhere.put(charter_version=2)
    assert await elsewhere.answers() == []
    await s.publish(s.world.activation(2), aggregate_id=s.world.charter_id, version=9)
    elsewhere.version -= 1
    await elsewhere.put(charter_version=2)
    assert (await elsewhere.last(MatterOpened)).charter_version == 2


async def test_what_comes_before_its_put_waits_for_it(elsewhere: Elsewhere) -> None:
    elsewhere.version = 1
    for early in (elsewhere.change, elsewhere.withdraw):
        with pytest.raises(RetryLater):
            await early()
        elsewhere.version = 1
    assert await elsewhere.answers() == []
    elsewhere.version = 0
    await elsewhere.put()
    await elsewhere.withdraw()
    assert await elsewhere.answers() == ["opened", "withdrawn"]


async def test_a_changed_subject_is_voted_on_anew(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    await elsewhere.vote(C)
    await elsewhere.change(title="Late and wrong payroll files")
    matter = await elsewhere.matter()
    assert (matter["subject_hash"], matter["title"]) == ("b" * 64, "Late and wrong payroll files")
    assert [v["status"] for v in matter["votes"]] == ["void"]
    assert not any(ask.optional for ask in (await elsewhere.last(MatterReassigned)).asks)
    await elsewhere.vote(C)
    assert (await elsewhere.vote(P))["state"] == "decided"
    assert (await elsewhere.last(MatterDecided)).subject_hash == "b" * 64


async def test_a_change_said_twice_leaves_the_votes_on_the_new_text(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    await elsewhere.change()
    await elsewhere.vote(C)
    await elsewhere.change()
    assert [v["status"] for v in (await elsewhere.matter())["votes"]] == ["standing"]
    assert await elsewhere.answers() == ["opened", "reassigned", "position_taken"]


@pytest.mark.parametrize(
    ("over", "code"),
    [({"severity": "dire"}, "unknown_severity"), ({"impact": {"beauty": "high"}}, "unknown_dimension")],
)
async def test_a_change_that_cannot_be_decided_is_refused(
    elsewhere: Elsewhere, over: dict[str, Any], code: str
) -> None:
    await elsewhere.put()
    await elsewhere.vote(C)
    await elsewhere.change(**over)
    assert (await elsewhere.last(MatterRefused)).code == code
    matter = await elsewhere.matter()
    assert (matter["state"], matter["severity"], matter["clock"]) == ("refused", "moderate", None)


async def test_a_change_that_comes_after_the_decision_leaves_it_to_the_subject(elsewhere: Elsewhere) -> None:
    decided = await elsewhere.decided()
    await elsewhere.change()
    assert (await elsewhere.matter())["version"] == decided["version"]


async def test_a_withdrawal_in_time_takes_the_matter_back_once(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    await elsewhere.vote(C)
    await elsewhere.withdraw()
    await elsewhere.withdraw()
    withdrawn = await elsewhere.last(MatterWithdrawn)
    assert (withdrawn.reason, withdrawn.asks) == ("solved otherwise", ())
    assert await elsewhere.answers() == ["opened", "position_taken", "withdrawn"]


async def test_a_withdrawal_after_the_decision_is_too_late(elsewhere: Elsewhere) -> None:
    decided = await elsewhere.decided()
    await elsewhere.withdraw()
    refused = await elsewhere.last(MatterWithdrawRefused)
    assert (refused.code, str(refused.decision_id)) == ("already_decided", decided["decision_id"])
    assert (await elsewhere.matter())["state"] == "decided"


async def test_the_text_of_a_subject_elsewhere_is_kept_there(elsewhere: Elsewhere) -> None:
    decided = await elsewhere.decided()
    path = f"/changes/v1/decisions/{decided['decision_id']}"
    decision = ok(await elsewhere.s.get(C, path))
    assert decision["subject_hash"] == "a" * 64
    assert decision["subject_snapshot"] == {
        "kind": "issue",
        "number": "ISS-FY27-0001",
        "title": "Late payroll files",
        "severity": "moderate",
        "impact": {},
    }
    assert problem(await elsewhere.s.get(C, f"{path}/text"), 404) == "not_found"


async def test_a_decision_on_a_former_text_falls_and_is_taken_anew(elsewhere: Elsewhere) -> None:
    decided = await elsewhere.decided()
    await elsewhere.not_applied(decided["decision_id"])
    assert (await elsewhere.last(MatterStale)).reason == "subject_changed"
    matter = await elsewhere.matter()
    assert (matter["state"], matter["subject_hash"], matter["decision_id"]) == ("open", "b" * 64, None)
    await elsewhere.not_applied(decided["decision_id"])
    await elsewhere.vote(C)
    again = await elsewhere.vote(P, "approve")
    assert again["decision_id"] != decided["decision_id"]
    assert (await elsewhere.answers())[3:] == [
        "decided",
        "stale",
        "reassigned",
        "position_taken",
        "position_taken",
        "decided",
    ]


async def test_only_the_decision_that_counts_can_fall(elsewhere: Elsewhere) -> None:
    first = await elsewhere.decided()
    await elsewhere.not_applied(first["decision_id"])
    await elsewhere.vote(C)
    second = await elsewhere.vote(P)
    await elsewhere.not_applied(first["decision_id"])
    matter = await elsewhere.matter()
    assert (matter["state"], matter["decision_id"]) == ("decided", second["decision_id"])


async def test_a_decision_for_a_subject_that_waits_no_more_leaves_the_matter_stale(
    elsewhere: Elsewhere,
) -> None:
    decided = await elsewhere.decided()
    await elsewhere.not_applied(decided["decision_id"], reason="no_longer_waiting", waits=False)
    matter = await elsewhere.matter()
    assert (matter["state"], matter["decision_id"]) == ("stale", decided["decision_id"])
    await elsewhere.withdraw()
    assert (await elsewhere.last(MatterWithdrawRefused)).code == "already_stale"


async def test_a_reason_unknown_here_is_kept_as_it_was_said(elsewhere: Elsewhere) -> None:
    decided = await elsewhere.decided()
    await elsewhere.not_applied(decided["decision_id"], reason="eclipse", waits=False)
    assert (await elsewhere.last(MatterStale)).reason == "eclipse"


async def test_a_stale_matter_is_not_reopened_beside_another_one(elsewhere: Elsewhere) -> None:
    decided = await elsewhere.decided()
    second = replace(elsewhere, matter_id=uuid7(), version=0)
    await second.put()
    await elsewhere.not_applied(decided["decision_id"])
    assert (await elsewhere.last(MatterRefused)).code == "already_open"
    assert (await elsewhere.answers())[-2:] == ["stale", "refused"]


async def test_a_severity_that_changes_starts_the_clock_anew(elsewhere: Elsewhere) -> None:
    await elsewhere.put()
    before = (await elsewhere.matter())["clock"]["ends_at"]
    await elsewhere.change(severity=Severity.critical)
    matter = await elsewhere.matter()
    assert matter["severity"] == "critical"
    assert matter["clock"]["ends_at"] < before


POISON: list[tuple[str, Any]] = [
    ("a matter of another subject", lambda e: replace(e, subject_id=uuid7()).withdraw()),
    ("a matter of another kind", lambda e: replace(e, kind="freeze_window").withdraw()),
    ("the id of another subject's matter", lambda e: replace(e, subject_id=uuid7()).put()),
]


@pytest.mark.parametrize("put", [put for _, put in POISON], ids=[name for name, _ in POISON])
async def test_who_speaks_of_a_matter_that_is_not_its_own_changes_nothing(
    s: RunningService, put: Any
) -> None:
    elsewhere = Elsewhere(s)
    before = await set_aside(s)
    await elsewhere.put()
    await put(elsewhere)
    assert await elsewhere.answers() == ["opened"]
    assert await set_aside(s) == before + 1
    async with s.kernel.database.system() as session:
        for table in ("dead_letter", "parked_key"):
            await session.execute(text(f"DELETE FROM {table}"))
