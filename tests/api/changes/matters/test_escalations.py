"""Escalation over HTTP and by the clock, on the model charter's ladder and the federal calendar."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.contracts.changes import (
    EscalationClosed,
    EscalationElevated,
    EscalationRaised,
    MatterClockEnded,
    MatterClockHalfway,
    MatterClockWarned,
    MatterEscalated,
    MatterOpened,
)
from tests.conftest import StartService
from tests.support.changes import CHANGES, JOWG_IMPACT, act, ok, problem, read, submitted, vote
from tests.support.harness import RunningService

ESCALATIONS = "/changes/v1/escalations"
EASTERN = ZoneInfo("America/New_York")
UP = {"reason_code": "blocked", "what_was_tried": "Two meetings without a quorum."}
SECOND = timedelta(seconds=1)


@pytest.fixture
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


def eastern(day: str, hour: int = 17) -> datetime:
    return datetime.fromisoformat(f"{day}T{hour:02d}:00:00").replace(tzinfo=EASTERN)


async def body_at(s: RunningService, change: dict[str, Any], moment: datetime) -> str:
    """Which body holds the request once the timers have run at that moment."""
    s.clock.set(moment)
    await s.drain()
    return str((await read(s, change))["body"])


async def test_a_moderate_request_climbs_exactly_when_the_ladder_says(s: RunningService) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    assert (change["body"], change["severity"]) == ("jowg", "moderate")
    for day, held_by, then in (
        ("2026-11-18", "jowg", "smb"),
        ("2026-12-03", "smb", "esc"),
        ("2026-12-24", "esc", "esf"),
    ):
        assert await body_at(s, change, eastern(day) - SECOND) == held_by
        assert await body_at(s, change, eastern(day)) == then
    assert [e.to_body for e in await s.events(EscalationRaised)] == ["smb"]
    assert [(e.from_body, e.to_body, e.cause) for e in await s.events(EscalationElevated)] == [
        ("smb", "esc", "clock"),
        ("esc", "esf", "clock"),
    ]
    assert [e.body for e in await s.events(MatterOpened)] == ["jowg"]
    assert [(e.body, e.tier, e.cause) for e in await s.events(MatterEscalated)] == [
        ("smb", 2, "clock"),
        ("esc", 3, "clock"),
        ("esf", 4, "clock"),
    ]


async def test_each_clock_says_half_and_three_quarters_once_and_elevates_once_however_often_timers_run(
    s: RunningService,
) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    # 52 open hours from Tue 10:00, Veterans Day left out: 26 have run on Mon the 16th at 09:00, 39 on Tue at 13:00.
    half, warns_at = eastern("2026-11-16", 9), eastern("2026-11-17", 13)
    assert await body_at(s, change, half - SECOND) == "jowg"
    assert await s.events(MatterClockHalfway) == []
    for moment in (half, half + SECOND, warns_at - SECOND):
        await body_at(s, change, moment)
        assert [e.body for e in await s.events(MatterClockHalfway)] == ["jowg"]
    assert await s.events(MatterClockWarned) == []
    for moment in (warns_at, warns_at + SECOND, eastern("2026-11-18", 9)):
        await body_at(s, change, moment)
    warned = await s.events(MatterClockWarned)
    assert [(e.body, e.clock_ends_at) for e in warned] == [("jowg", eastern("2026-11-18"))]
    for moment in (eastern("2026-11-18"), eastern("2026-11-18") + SECOND, eastern("2026-11-19", 9)):
        assert await body_at(s, change, moment) == "smb"
    assert len(await s.events(EscalationRaised)) == 1


async def test_an_emergency_nobody_authorizes_within_the_hour_goes_to_the_board(s: RunningService) -> None:
    change = await submitted(s, type="emergency", impact={}, priority={"impact": "high", "urgency": "high"})
    ends = datetime.fromisoformat(change["clock"]["ends_at"])
    assert await body_at(s, change, ends - SECOND) == "eca"
    assert await body_at(s, change, ends) == "smb"


async def test_at_the_last_rung_the_clock_ends_once_and_the_request_stays(s: RunningService) -> None:
    change = await submitted(s, requested_body="esf", reason_code="contentious")
    ends = datetime.fromisoformat(change["clock"]["ends_at"])
    for moment in (ends, ends + SECOND, ends + timedelta(days=9)):
        assert await body_at(s, change, moment) == "esf"
    ended = await s.events(MatterClockEnded)
    assert [(e.body, e.clock_ends_at) for e in ended] == [("esf", ends)]
    after = await read(s, change)
    assert [entry["action"] for entry in after["timeline"]][-1] == "matter.clock_end"
    assert datetime.fromisoformat(after["clock"]["expired_at"]) == ends
    assert await s.events(EscalationRaised) == []


async def test_a_low_request_waits_at_the_board_until_a_member_takes_it_up(s: RunningService) -> None:
    change = await submitted(s, priority={"impact": "low", "urgency": "low"})
    assert await body_at(s, change, eastern("2027-06-01")) == "smb"
    raised = await act(s, "provider.om_team", await read(s, change), "escalate", UP)
    # At the next body, which times nothing of low severity, it runs on the moderate limit: 15 business days.
    assert (raised["body"], raised["clock"]["ends_at"]) == ("esc", "2027-06-23T21:00:00Z")
    assert await body_at(s, change, eastern("2027-12-01")) == "esc"


async def test_a_late_timer_keeps_the_ladders_dates_but_gives_every_body_time(s: RunningService) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    assert await body_at(s, change, eastern("2026-11-20", 9)) == "smb"
    assert datetime.fromisoformat((await read(s, change))["clock"]["ends_at"]) == eastern("2026-12-03")
    assert await body_at(s, change, eastern("2027-03-01", 9)) == "esc"
    assert datetime.fromisoformat((await read(s, change))["clock"]["starts_at"]) == eastern("2027-03-01", 9)


async def test_a_decided_request_has_no_clock_any_more(s: RunningService) -> None:
    change = await submitted(s, impact=JOWG_IMPACT)
    await vote(s, "provider.om_team", await vote(s, "customer.om_team", change, "approve"), "approve")
    assert await body_at(s, change, eastern("2027-06-01")) == "jowg"
    for kind in (MatterClockHalfway, MatterClockWarned, MatterClockEnded):
        assert await s.events(kind) == []


async def test_a_member_escalates_with_a_reason_and_earlier_votes_no_longer_count(s: RunningService) -> None:
    change = await vote(s, "customer.om_team", await submitted(s, impact=JOWG_IMPACT), "approve")
    up = await act(s, "provider.business_owner", change, "escalate", UP)
    assert (up["body"], up["state"], up["votes"][0]["status"]) == ("smb", "pending_decision", "void")
    raised = (await s.events(EscalationRaised))[-1]
    assert (raised.cause, raised.reason_code, raised.from_body, raised.to_body) == (
        "member",
        "blocked",
        "jowg",
        "smb",
    )
    assert raised.clock_ends_at == datetime.fromisoformat(up["clock"]["ends_at"])

    further = await act(s, "customer.om_team", up, "escalate", UP | {"reason_code": "urgent"})
    assert further["escalation_id"] == up["escalation_id"]
    assert [e.to_body for e in await s.events(EscalationElevated)] == ["esc"]

    escalation = ok(await s.get("observer.observer", f"{ESCALATIONS}/{up['escalation_id']}"))
    assert (escalation["state"], escalation["from_body"], escalation["body"]) == ("open", "jowg", "esc")
    assert [(step["to_body"], step["reason_code"]) for step in escalation["steps"]] == [
        ("smb", "blocked"),
        ("esc", "urgent"),
    ]
    assert escalation["steps"][0]["what_was_tried"] == UP["what_was_tried"]
    assert escalation["number"] == "ESC-FY27-0001"


async def test_there_is_no_body_above_the_last_one(s: RunningService) -> None:
    change = await submitted(s, requested_body="esf", reason_code="contentious")
    answer = await s.post(
        "customer.om_team", f"{CHANGES}/{change['id']}/escalate", UP, version=change["version"]
    )
    assert problem(answer, 409) == "no_higher_body"
    assert "executive sponsor of the customer" in answer.json()["detail"]


async def test_only_a_pending_request_can_be_escalated(s: RunningService) -> None:
    change = await submitted(s, impact={})
    answer = await s.post("customer.om_team", f"{CHANGES}/{change['id']}/escalate", UP, version=1)
    assert problem(answer, 409) == "not_allowed"


async def test_withdrawal_closes_the_escalation_and_a_later_one_is_raised_anew(s: RunningService) -> None:
    up = await act(s, "customer.om_team", await submitted(s), "escalate", UP)
    await act(s, "customer.om_team", up, "withdraw", {"reason": "Solved otherwise."})
    assert [e.outcome for e in await s.events(EscalationClosed)] == ["withdrawn"]

    other = await act(s, "customer.om_team", await submitted(s), "escalate", UP)
    assert other["escalation_id"] != up["escalation_id"]
    assert len(await s.events(EscalationRaised)) == 2
    page = ok(await s.get("customer.om_team", ESCALATIONS, state="open"))
    assert [item["id"] for item in page["items"]] == [other["escalation_id"]]


async def test_a_resumed_request_that_goes_up_again_is_a_new_escalation(s: RunningService) -> None:
    up = await act(s, "customer.om_team", await submitted(s, "customer.om_team"), "escalate", UP)
    deferred = await vote(s, "customer.business_owner", up, "defer")
    deferred = await vote(s, "provider.business_owner", deferred, "defer")
    assert [e.outcome for e in await s.events(EscalationClosed)] == ["deferred"]
    resumed = await act(s, "customer.om_team", deferred, "resume", {"reason": "Funds arrived."})
    assert resumed["escalation_id"] is None
    again = await act(s, "customer.om_team", resumed, "escalate", UP)
    assert again["escalation_id"] != up["escalation_id"]


async def test_the_escalation_register_exports_as_csv_and_stays_in_the_charter(s: RunningService) -> None:
    up = await act(s, "customer.om_team", await submitted(s), "escalate", UP)
    answer = await s.get("provider.om_team", f"{ESCALATIONS}.csv", state="open")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["subject_number"], row["body"], row["cause"]) for row in rows] == [
        (up["number"], "esc", "member")
    ]
    foreign = await s.get("other.om_team", f"{ESCALATIONS}/{up['escalation_id']}")
    assert problem(foreign, 404) == "not_found"
