"""Who may silence an alert, and for how long (ruling 15.7)."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.notifier.endpoints.service.health import report_unusable
from shared.contracts.notifier import AlertAcknowledged, AlertOpened, AlertSnoozed, AlertWoken
from shared.contracts.sla import ReportPublished
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.support.alerting import (
    LOCAL,
    NOTIFIER,
    act,
    alerts_of,
    closed,
    deliveries_of,
    elevated,
    emptied,
    escalated,
    loop_back,
    missed,
    ok,
    problem,
    registered,
    report_overdue,
    review_due,
)
from tests.support.harness import RunningService

TEAM, PROVIDERS = "customer.om_team", "provider.om_team"
FRIDAY = datetime(2026, 11, 13, 15, 0, tzinfo=UTC)
MONDAY = datetime(2026, 11, 16, 14, 0, tzinfo=UTC)
"""Nine o'clock in Washington."""
WHY = "The board meets on Monday."


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    return await emptied(service, FRIDAY)


async def by(
    s: RunningService, member: str, alert: dict[str, Any], verb: str, body: object
) -> httpx.Response:
    return await s.post(member, f"{NOTIFIER}/alerts/{alert['id']}/{verb}", body, version=alert["version"])


async def snoozed(s: RunningService, alert: dict[str, Any], until: datetime = MONDAY) -> dict[str, Any]:
    return ok(await act(s, alert, "alerts", "snooze", {"until": until.isoformat(), "reason": WHY}))


async def history(s: RunningService, alert: dict[str, Any]) -> list[tuple[str, str]]:
    read = ok(await s.get(TEAM, f"{NOTIFIER}/alerts/{alert['id']}"))
    return [(line["change"], line["note"]) for line in read["history"]]


async def test_what_ends_with_its_cause_cannot_be_resolved_by_hand(s: RunningService) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    assert (alert["must_act"], alert["ends_with_cause"]) == (True, True)
    answer = await act(s, alert, "alerts", "resolve", {"note": "Settled by phone."})
    assert problem(answer, 409) == "cause_persists"
    assert "Snooze it" in answer.json()["detail"]
    taken = ok(await act(s, alert, "alerts", "acknowledge"))
    assert problem(await act(s, taken, "alerts", "resolve"), 409) == "cause_persists"


async def test_what_no_event_will_end_is_settled_by_each_party_for_itself(s: RunningService) -> None:
    await missed(s)
    (mine,), (theirs,) = await alerts_of(s, TEAM), await alerts_of(s, PROVIDERS)
    assert (mine["must_act"], mine["ends_with_cause"]) == (True, False)
    ok(await act(s, mine, "alerts", "resolve"))
    (still,) = await alerts_of(s, PROVIDERS)
    assert (still["state"], still["version"]) == ("open", theirs["version"])


async def test_who_does_not_have_to_act_acknowledges_and_comments_and_silences_nothing(
    s: RunningService,
) -> None:
    report_id = await report_overdue(s)
    (mine,), (theirs,) = await alerts_of(s, TEAM), await alerts_of(s, PROVIDERS)
    assert (mine["must_act"], theirs["must_act"]) == (False, True)
    wish = {"until": MONDAY.isoformat(), "reason": WHY}
    assert problem(await by(s, TEAM, mine, "snooze", wish), 403) == "not_yours_to_silence"
    assert problem(await by(s, TEAM, mine, "resolve", {}), 403) == "not_yours_to_silence"
    taken = ok(await by(s, TEAM, mine, "acknowledge", {}))
    ok(await s.post(TEAM, f"{NOTIFIER}/alerts/{mine['id']}/comment", {"note": "We asked by phone."}))
    assert (await history(s, taken))[-2:] == [("acknowledged", ""), ("commented", "We asked by phone.")]
    assert ok(await by(s, PROVIDERS, theirs, "snooze", wish))["state"] == "snoozed"
    published = ReportPublished(
        report_id=report_id,
        sla_id=uuid7(),
        number="SR-FY27-0001",
        title="Payroll",
        period="2026-10",
        result_hash="0" * 64,
        metrics_met=1,
        metrics_missed=0,
        published_at=FRIDAY,
        acknowledge_due=MONDAY,
    )
    await s.publish(published, aggregate_id=report_id, version=2)
    assert [a["state"] for a in (*await alerts_of(s, TEAM), *await alerts_of(s, PROVIDERS))] == [
        "resolved"
    ] * 2


async def test_a_snoozed_alert_is_quiet_until_its_time_and_then_open_again(s: RunningService) -> None:
    agreement_id = uuid7()
    await review_due(s, agreement_id, days_left=60, version=1)
    (alert,) = await alerts_of(s, TEAM)
    quiet = await snoozed(s, alert)
    assert (quiet["state"], quiet["snoozed_by"]) == ("snoozed", str(s.world.member(TEAM)))
    assert datetime.fromisoformat(quiet["snoozed_until"]) == MONDAY
    s.clock.set(MONDAY - timedelta(seconds=1))
    await s.drain()
    await review_due(s, agreement_id, days_left=30, version=2)
    assert [a["state"] for a in await alerts_of(s, TEAM)] == ["snoozed"], "a reminder does not wake it"
    s.clock.set(MONDAY)
    await s.drain()
    (woken,) = await alerts_of(s, TEAM)
    assert (woken["state"], woken["snoozed_until"], woken["snoozed_by"]) == ("open", None, None)
    assert [change for change, _ in await history(s, alert)] == ["opened", "snoozed", "updated", "reopened"]
    (event,) = [e for e in await s.events(AlertSnoozed) if str(e.alert_id) == alert["id"]]
    assert (event.until, event.reason) == (MONDAY, WHY)
    assert [str(e.alert_id) for e in await s.events(AlertWoken)][-1] == alert["id"]


async def test_what_gets_worse_wakes_a_snoozed_alert(s: RunningService) -> None:
    escalation_id = await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    await snoozed(s, alert)
    await elevated(s, escalation_id)
    (woken,) = await alerts_of(s, TEAM)
    assert (woken["state"], woken["snoozed_until"], woken["priority"]) == ("open", None, "urgent")
    s.clock.set(MONDAY)
    await s.drain()
    assert (await history(s, alert))[-1][0] == "reopened", "and its snooze does not end a second time"
    assert len(await history(s, alert)) == 3


async def test_a_snoozed_alert_ends_with_its_cause(s: RunningService) -> None:
    escalation_id = await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    await snoozed(s, alert)
    await closed(s, escalation_id, version=2)
    s.clock.set(MONDAY)
    await s.drain()
    (ended,) = await alerts_of(s, TEAM)
    assert (ended["state"], ended["snoozed_until"]) == ("resolved", None)


async def test_whoever_takes_a_snoozed_alert_up_ends_the_snooze(s: RunningService) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    quiet = await snoozed(s, alert)
    ok(await act(s, quiet, "alerts", "acknowledge"))
    s.clock.set(MONDAY)
    await s.drain()
    assert [a["state"] for a in await alerts_of(s, TEAM)] == ["acknowledged"]


@pytest.mark.parametrize(
    ("until", "code", "sentence"),
    [
        (FRIDAY, "snooze_in_the_past", "a time to come"),
        (FRIDAY - timedelta(days=1), "snooze_in_the_past", "a time to come"),
        (datetime(2026, 11, 14, 15, 0, tzinfo=UTC), "not_business_time", "Monday 2026-11-16 08:00"),
        (datetime(2026, 11, 26, 15, 0, tzinfo=UTC), "not_business_time", "Friday 2026-11-27 08:00"),
        (datetime(2026, 11, 13, 23, 0, tzinfo=UTC), "not_business_time", "Monday 2026-11-16 08:00"),
        (datetime(2026, 12, 1, 15, 0, tzinfo=UTC), "snooze_too_long", "at most 10 business days"),
        (datetime(9999, 12, 31, tzinfo=UTC), "snooze_too_long", "at most 10 business days"),
    ],
)
async def test_a_snooze_ends_at_a_business_time_and_soon(
    s: RunningService, until: datetime, code: str, sentence: str
) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    answer = await act(s, alert, "alerts", "snooze", {"until": until.isoformat(), "reason": WHY})
    assert problem(answer, 422) == code
    (finding,) = answer.json()["errors"]
    assert finding["pointer"] == "/until"
    assert sentence in finding["message"]


@pytest.mark.parametrize(
    "body", [{}, {"until": MONDAY.isoformat()}, {"until": MONDAY.isoformat(), "reason": " "}]
)
async def test_a_snooze_needs_a_time_and_a_reason(s: RunningService, body: dict[str, str]) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    assert problem(await act(s, alert, "alerts", "snooze", body), 422) == "invalid"


async def test_a_comment_needs_words(s: RunningService) -> None:
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    path = f"{NOTIFIER}/alerts/{alert['id']}/comment"
    assert problem(await s.post(TEAM, path, {"note": ""}), 422) == "invalid"
    assert problem(await s.post(TEAM, path, {}), 422) == "invalid"


async def test_an_endpoints_own_alert_is_snoozed_by_the_federal_calendar_and_not_resolved(
    s: RunningService,
) -> None:
    endpoint = await registered(s, "https://tickets.example.gov/hook")
    async with s.kernel.database.system() as session:
        await report_unusable(session, UUID(endpoint["id"]), s.clock())
    (alert,) = await alerts_of(s, TEAM)
    assert (alert["charter_id"], alert["must_act"], alert["ends_with_cause"]) == (None, True, True)
    assert problem(await act(s, alert, "alerts", "resolve"), 409) == "cause_persists"
    assert (await snoozed(s, alert))["state"] == "snoozed"


async def test_what_members_do_is_passed_on_apart_from_their_act(s: RunningService) -> None:
    """Acknowledging neither waits for deliveries nor fails with them: they are written when the event comes back."""
    desk = await registered(s, "https://tickets.example.gov/hook")
    await escalated(s)
    (alert,) = await alerts_of(s, TEAM)
    ok(await act(s, await snoozed(s, alert), "alerts", "acknowledge"))
    assert [d["change"] for d in await deliveries_of(s, desk)] == ["opened"]
    await loop_back(s, AlertOpened, AlertSnoozed, AlertAcknowledged)
    assert [d["change"] for d in await deliveries_of(s, desk)] == ["acknowledged", "snoozed", "opened"]
