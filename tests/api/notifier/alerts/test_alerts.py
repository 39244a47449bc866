"""Alerts over HTTP: opened and cleared by events, taken up by members, never seen by strangers."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.contracts.changes import (
    MatterClockEnded,
    MatterClockFact,
    MatterClockHalfway,
    MatterClockWarned,
    MatterWithdrawn,
)
from shared.contracts.governance import Severity
from shared.contracts.notifier import AlertAcknowledged, AlertOpened, AlertResolved
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.support.alerting import (
    NOTIFIER,
    act,
    alerts_of,
    closed,
    elevated,
    emptied,
    escalated,
    missed,
    ok,
    problem,
    review_due,
    review_overdue,
)
from tests.support.harness import RunningService

TEAM = "customer.om_team"


def about(matter_id: UUID) -> dict[str, Any]:
    return {
        "matter_id": matter_id,
        "subject_kind": "change_request",
        "subject_id": uuid7(),
        "subject_number": "CR-FY27-0001",
        "title": "x",
        "asks": (),
    }


async def clock(
    s: RunningService,
    kind: type[MatterClockFact],
    matter_id: UUID,
    version: int,
    event_id: UUID | None = None,
    severity: str = Severity.moderate,
) -> None:
    """The clock of a matter says how far it is."""
    fact = kind.model_validate(
        about(matter_id) | {"body": "smb", "severity": severity, "clock_ends_at": s.clock()}
    )
    await s.publish(fact, aggregate_id=matter_id, version=version, event_id=event_id)


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier") as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    return await emptied(service)


async def test_an_escalation_alerts_both_parties_each_with_its_own_alert(s: RunningService) -> None:
    escalation_id = await escalated(s, severity=Severity.critical)
    mine, theirs = await alerts_of(s, TEAM), await alerts_of(s, "provider.om_team")
    assert [a["dedup_key"] for a in mine + theirs] == [f"escalation:{escalation_id}"] * 2
    assert mine[0]["id"] != theirs[0]["id"]
    assert (mine[0]["priority"], mine[0]["state"]) == ("urgent", "open")
    assert mine[0]["title"] == "CR-FY27-0001 escalated from jowg to smb: Replace the gateway"
    assert len(await s.events(AlertOpened)) == 2


async def test_a_severity_that_a_later_program_knows_is_alerted_as_usual(s: RunningService) -> None:
    await clock(s, MatterClockEnded, uuid7(), 1, severity="dire")
    assert [(a["rule"], a["priority"]) for a in await alerts_of(s, TEAM)] == [("matter_clock_ended", "high")]


async def test_a_stranger_and_an_observer_see_no_alert(s: RunningService) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    for member in ("other.om_team", "observer.om_team", "provider.om_team"):
        path = f"{NOTIFIER}/alerts/{alert['id']}"
        assert problem(await s.get(member, path), 404) == "not_found"
        assert problem(await s.post(member, f"{path}/acknowledge", {}, version=1), 404) == "not_found"
    assert await alerts_of(s, "other.om_team") == await alerts_of(s, "observer.om_team") == []


async def test_the_event_of_an_alert_is_only_for_its_party(s: RunningService) -> None:
    await escalated(s)
    seen = {e["data"]["org_id"]: e["visibility"] for e in await s.envelopes(AlertOpened)}
    orgs = s.world.orgs
    assert seen == {str(orgs["customer"]): "customer", str(orgs["provider"]): "provider"}


async def test_a_redelivered_event_does_nothing_twice(s: RunningService) -> None:
    matter_id, event_id = uuid7(), uuid7()
    for _ in range(2):
        await clock(s, MatterClockWarned, matter_id, 1, event_id=event_id)
    (alert,) = await alerts_of(s, TEAM)
    assert alert["occurrences"] == 1


async def test_an_elevated_escalation_reopens_the_same_alert_at_a_higher_priority(s: RunningService) -> None:
    escalation_id = await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    ok(await act(s, alert, "alerts", "acknowledge", {"note": "Looking at it."}))
    await elevated(s, escalation_id)
    (again,) = await alerts_of(s, TEAM)
    assert (again["id"], again["state"], again["priority"]) == (alert["id"], "open", "urgent")
    assert (again["occurrences"], again["acknowledged_by"]) == (2, None)
    history = ok(await s.get(TEAM, f"{NOTIFIER}/alerts/{alert['id']}"))["history"]
    assert [entry["change"] for entry in history] == ["opened", "acknowledged", "reopened"]
    assert [
        e.priority for e in await s.events(AlertOpened) if e.alert_id.hex == alert["id"].replace("-", "")
    ] == [
        "high",
        "urgent",
    ]


async def test_a_reminder_updates_an_alert_without_calling_again(s: RunningService) -> None:
    agreement_id = uuid7()
    await review_due(s, agreement_id, days_left=60, version=1)
    (alert,) = await alerts_of(s, TEAM)
    ok(await act(s, alert, "alerts", "acknowledge"))
    await review_due(s, agreement_id, days_left=30, version=2)
    (after,) = await alerts_of(s, TEAM)
    assert (after["state"], after["occurrences"]) == ("acknowledged", 2)
    assert after["version"] > alert["version"]
    assert "in 30 days" in after["title"]
    assert len(await s.events(AlertOpened)) == 1
    await review_overdue(s, agreement_id, version=3)
    (late,) = await alerts_of(s, TEAM)
    assert (late["state"], late["priority"], late["rule"]) == ("open", "high", "agreement_review_overdue")


async def test_an_updated_alert_is_for_whom_the_rule_names_now(s: RunningService) -> None:
    agreement_id = uuid7()
    await review_due(s, agreement_id, days_left=60, version=1)
    async with s.kernel.database.system() as session:  # as an earlier rule had it
        await session.execute(text("UPDATE alert SET roles = '{isso}', subject_id = gen_random_uuid()"))
    await review_due(s, agreement_id, days_left=30, version=2)
    (alert,) = await alerts_of(s, TEAM)
    assert alert["roles"] == ["business_owner", "om_team"]
    assert alert["subject_id"] == str(agreement_id)


async def test_an_agreement_review_concerns_the_customer_alone(s: RunningService) -> None:
    await review_due(s, uuid7(), days_left=60, version=1)
    assert len(await alerts_of(s, TEAM)) == 1
    assert await alerts_of(s, "provider.om_team") == []


async def test_a_closed_escalation_resolves_both_alerts(s: RunningService) -> None:
    escalation_id = await escalated(s)
    await closed(s, escalation_id, version=2)
    for member in (TEAM, "provider.om_team"):
        (alert,) = await alerts_of(s, member)
        assert (alert["state"], alert["resolution"], alert["resolved_by"]) == (
            "resolved",
            "cause_cleared",
            None,
        )
    assert {e.resolution for e in await s.events(AlertResolved)} == {"cause_cleared"}


async def test_a_matter_that_is_settled_resolves_the_alert_of_its_clock(s: RunningService) -> None:
    matter_id = uuid7()
    await clock(s, MatterClockWarned, matter_id, 3)
    await s.publish(MatterWithdrawn(**about(matter_id), reason=""), aggregate_id=matter_id, version=4)
    assert [a["state"] for a in await alerts_of(s, TEAM)] == ["resolved"]


QUIET = {
    "acknowledge": {"note": "We meet tomorrow."},
    "snooze": {"until": "2026-11-12T15:00:00Z", "reason": "We meet on Thursday."},
}


@pytest.mark.parametrize("verb", QUIET)
async def test_the_end_of_a_clock_calls_again_whoever_has_quieted_the_warning(
    s: RunningService, verb: str
) -> None:
    matter_id = uuid7()
    await clock(s, MatterClockHalfway, matter_id, 2)
    await clock(s, MatterClockWarned, matter_id, 3)
    (warned,) = await alerts_of(s, TEAM)
    assert (warned["rule"], warned["priority"]) == ("matter_clock_warned", "high")
    ok(await act(s, warned, "alerts", verb, QUIET[verb]))
    await clock(s, MatterClockEnded, matter_id, 4)
    (ended,) = await alerts_of(s, TEAM)
    assert (ended["rule"], ended["state"], ended["acknowledged_by"]) == ("matter_clock_ended", "open", None)
    assert "was not decided by smb" in ended["title"]
    assert ended["snoozed_until"] is None
    assert [e.rule for e in await s.events(AlertOpened) if str(e.alert_id) == ended["id"]] == [
        "matter_clock_halfway",
        "matter_clock_warned",
        "matter_clock_ended",
    ]


async def test_a_cause_that_returns_after_its_end_opens_a_new_alert(s: RunningService) -> None:
    sla_id = await missed(s)
    (alert,) = await alerts_of(s, TEAM)
    ok(await act(s, alert, "alerts", "resolve", {"note": "Settled by phone."}))
    await missed(s, sla_id)
    states = {a["state"] for a in await alerts_of(s, TEAM)}
    assert states == {"open", "resolved"}


async def test_acknowledging_and_resolving_are_recorded_with_their_member(s: RunningService) -> None:
    await missed(s)
    (alert,) = await alerts_of(s, TEAM)
    taken = ok(await act(s, alert, "alerts", "acknowledge", {"note": "Mine."}))
    assert (taken["state"], taken["acknowledged_by"]) == ("acknowledged", str(s.world.member(TEAM)))
    done = ok(await act(s, taken, "alerts", "resolve"))
    assert (done["state"], done["resolution"]) == ("resolved", "member")
    assert problem(await act(s, done, "alerts", "acknowledge"), 409) == "not_allowed"
    (acknowledged,) = await s.events(AlertAcknowledged)
    assert acknowledged.member_id == s.world.member(TEAM)


async def test_a_stale_version_is_refused_and_a_missing_one_too(s: RunningService) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    path = f"{NOTIFIER}/alerts/{alert['id']}/acknowledge"
    assert problem(await s.post(TEAM, path, {}, version=7), 412) == "version_changed"
    assert problem(await s.post(TEAM, path, {}), 428) == "if_match_required"
    assert problem(await s.post(TEAM, path, {"note": "a", "x": 1}, version=1), 422) == "invalid"


async def test_alerts_are_filtered_by_state_priority_rule_charter_and_role(s: RunningService) -> None:
    first = await escalated(s, severity=Severity.critical)
    s.clock.advance(timedelta(minutes=1))
    await review_due(s, uuid7(), days_left=60, version=1)
    await closed(s, first)
    charter = str(s.world.charter_id)
    for filters, count in (
        ({}, 2),
        ({"state": "open"}, 1),
        ({"priority": "urgent"}, 1),
        ({"rule": "agreement_review_due_soon"}, 1),
        ({"charter_id": charter}, 2),
        ({"charter_id": str(uuid7())}, 0),
        ({"mine": "true"}, 2),
    ):
        assert len(await alerts_of(s, TEAM, **filters)) == count, filters
    assert await alerts_of(s, "customer.isso", mine="true") == []
    assert len(await alerts_of(s, "customer.executive_sponsor", mine="true")) == 1
    assert problem(await s.get(TEAM, f"{NOTIFIER}/alerts", state="odd"), 422) == "invalid"


async def test_the_csv_twin_holds_the_same_alerts(s: RunningService) -> None:
    await escalated(s)
    answer = await s.get(TEAM, f"{NOTIFIER}/alerts.csv")
    (row,) = csv.DictReader(io.StringIO(answer.text))
    (alert,) = await alerts_of(s, TEAM)
    assert (row["id"], row["roles"]) == (alert["id"], " ".join(alert["roles"]))


async def test_pages_follow_each_other(s: RunningService) -> None:
    for _ in range(3):
        await escalated(s)
    first = ok(await s.get(TEAM, f"{NOTIFIER}/alerts", limit=2))
    rest = ok(await s.get(TEAM, f"{NOTIFIER}/alerts", limit=2, cursor=first["next_cursor"]))
    assert (len(first["items"]), len(rest["items"]), rest["next_cursor"]) == (2, 1, None)


async def test_a_metric_below_its_minimum_alerts_both_parties(s: RunningService) -> None:
    sla_id = await missed(s)
    for member in (TEAM, "provider.om_team"):
        (alert,) = await alerts_of(s, member)
        assert (alert["priority"], alert["dedup_key"]) == ("high", f"metric:{sla_id}:availability:2026-10")


async def test_the_rules_can_be_read(s: RunningService) -> None:
    rules = ok(await s.get("customer.isso", f"{NOTIFIER}/rules"))["items"]
    raised = next(rule for rule in rules if rule["name"] == "escalation_raised")
    assert raised["opens"]["audience"] == ["customer", "provider"]
    assert raised["opens"]["priorities"] == {"critical": "urgent", "low": "normal"}


async def test_nobody_reads_without_a_token(s: RunningService) -> None:
    for path in ("alerts", "alerts.csv", "endpoints", "deliveries", "rules", "templates"):
        assert (await s.client.get(f"{NOTIFIER}/{path}")).status_code == 401
