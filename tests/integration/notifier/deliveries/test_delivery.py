"""From an event to a signed webhook at a real receiver: retries, limits, circuits, replay."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from standardwebhooks.webhooks import Webhook

from services.notifier.deliveries.service.claiming import claim
from services.notifier.deliveries.service.worker import DeliveryWorker
from services.notifier.endpoints.domain import Circuit, Health, room
from services.notifier.endpoints.models import Endpoint
from services.notifier.settings import LONGEST_DEADLINE
from shared.contracts.notifier import AlertOpened, AlertResolved, DeliveryExhausted, EndpointDisabled
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
    endpoint_now,
    escalated,
    loop_back,
    missed,
    ok,
    registered,
    review_due,
    review_overdue,
)
from tests.support.harness import RunningService
from tests.support.patience import until
from tests.support.receiver import Manner, Receiver, Reply, Request
from tests.support.world import START

TEAM = "customer.om_team"
FAILS = Reply(status=500, body=b"down")


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    # The reference library judges timestamps by the real clock.
    service = await emptied(service, datetime.now(UTC))
    # A worker that a test stopped stays stopped.
    service.kernel.workers[:] = [DeliveryWorker(service.kernel.database, service.app.state.delivery_tools)]
    return service


def verified(endpoint: dict[str, Any], request: Request) -> dict[str, Any]:
    """The body of a webhook, after the reference library accepted its signature."""
    return dict(Webhook(endpoint["signing_secret"]).verify(request.body, dict(request.headers)))


async def test_an_event_becomes_a_signed_webhook_with_the_event_itself(s: RunningService) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        escalation_id = await escalated(s)
        await s.drain()
    (request,) = receiver.requests
    event = verified(endpoint, request)
    (delivery,) = await deliveries_of(s, endpoint)
    assert request.headers["webhook-id"] == delivery["webhook_id"] == f"msg_{delivery['id'].replace('-', '')}"
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert (event["type"], event["subject"]) == ("org.concordat.escalation.raised.v1", str(escalation_id))
    assert event["data"]["title"] == "Replace the gateway"
    assert (delivery["state"], delivery["last_status"]) == ("done", 200)
    (attempt,) = delivery["attempts"]
    assert (attempt["verdict"], attempt["excerpt"], attempt["address"]) == ("delivered", "ok", "127.0.0.1")


async def test_a_failure_is_retried_under_the_same_id_with_a_new_timestamp(s: RunningService) -> None:
    async with Receiver(FAILS) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        (waiting,) = await deliveries_of(s, endpoint)
        assert (waiting["state"], waiting["attempt"], waiting["last_status"]) == ("pending", 1, 500)
        assert waiting["last_error"].startswith("The receiver answered HTTP 500 (Internal Server Error). ")
        assert waiting["last_error"] == waiting["attempts"][0]["error"]
        await s.drain()
        assert len(receiver.requests) == 1
        s.clock.advance(timedelta(seconds=7))
        await s.drain()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    sent = [int(r.headers["webhook-timestamp"]) for r in receiver.requests]
    assert sent[1] - sent[0] == 7
    verified(endpoint, second)
    (done,) = await deliveries_of(s, endpoint)
    assert (done["state"], [a["verdict"] for a in done["attempts"]]) == ("done", ["retry", "delivered"])
    assert (await endpoint_now(s, endpoint))["failures_in_a_row"] == 0


async def test_retry_after_is_honoured(s: RunningService) -> None:
    busy = Reply(status=429, headers={"Retry-After": "600"})
    async with Receiver(busy) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        s.clock.advance(timedelta(seconds=599))
        await s.drain()
        assert len(receiver.requests) == 1
        assert (await endpoint_now(s, endpoint))["throttled_until"] is not None
        s.clock.advance(timedelta(seconds=2))
        await s.drain()
        assert len(receiver.requests) == 2


async def test_ten_failures_exhaust_a_delivery_and_a_replay_brings_it_back(s: RunningService) -> None:
    async with Receiver(otherwise=FAILS) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        for _ in range(10):
            await s.drain()
            s.clock.advance(timedelta(hours=29))
        (delivery,) = await deliveries_of(s, endpoint)
        assert (delivery["state"], delivery["attempt"]) == ("exhausted", 10)
        (exhausted,) = await s.events(DeliveryExhausted)
        assert (exhausted.attempts, str(exhausted.endpoint_id)) == (10, endpoint["id"])
        receiver.otherwise = Reply()
        await reenabled(s, endpoint)
        queued = ok(await act(s, delivery, "deliveries", "replay"), 202)
        assert (queued["state"], queued["version"]) == ("pending", delivery["version"] + 1)
        await s.drain()
    delivery, *_ = [d for d in await deliveries_of(s, endpoint) if not d["is_test"]]
    assert (delivery["state"], delivery["attempt"]) == ("done", 11)
    assert receiver.requests[-1].headers["webhook-id"] == receiver.requests[0].headers["webhook-id"]


async def reenabled(s: RunningService, endpoint: dict[str, Any]) -> None:
    """Send a test delivery that succeeds, then switch the endpoint on where it is off."""
    s.clock.advance(timedelta(seconds=1))
    ok(await s.post(TEAM, f"{NOTIFIER}/endpoints/{endpoint['id']}/test"), 202)
    await s.drain()
    now = await endpoint_now(s, endpoint)
    if not now["enabled"]:
        ok(await act(s, now, "endpoints", "enable"))


async def test_a_range_of_time_can_be_replayed(s: RunningService) -> None:
    async with Receiver(otherwise=Reply(status=410)) as receiver:
        endpoint = await registered(s, receiver.url())
        start = s.clock()
        await escalated(s)
        await s.drain()
        receiver.otherwise = Reply()
        await reenabled(s, endpoint)
        span = {"since": start.isoformat(), "until": s.clock().isoformat()}
        path = f"{NOTIFIER}/endpoints/{endpoint['id']}/replay"
        late = span | {"since": s.clock().isoformat()}
        assert ok(await s.post(TEAM, path, late), 202) == {"deliveries": 0}
        assert ok(await s.post(TEAM, path, span), 202) == {"deliveries": 1}
        await s.drain()
        assert ok(await s.post(TEAM, path, span), 202) == {"deliveries": 0}
        assert ok(await s.post(TEAM, path, span | {"delivered_too": True}), 202) == {"deliveries": 1}
    assert receiver.requests[0].headers["webhook-id"] == receiver.requests[-1].headers["webhook-id"]


async def test_an_answer_of_410_switches_the_endpoint_off_and_tells_its_owner(s: RunningService) -> None:
    async with Receiver(Reply(status=410)) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        now = await endpoint_now(s, endpoint)
        assert (now["enabled"], now["disabled_reason"]) == (False, "gone")
        assert [e.reason for e in await s.events(EndpointDisabled)] == ["gone"]
        (alert,) = await alerts_of(s, TEAM, rule="endpoint_disabled")
        assert (alert["priority"], alert["charter_id"]) == ("high", None)
        assert alert["title"].startswith("Endpoint Ticket desk was switched off: its receiver answered")
        assert await alerts_of(s, "provider.om_team", rule="endpoint_disabled") == []
        await reenabled(s, endpoint)
        assert [a["state"] for a in await alerts_of(s, TEAM, rule="endpoint_disabled")] == ["resolved"]


async def test_only_failures_for_five_days_warn_and_then_switch_off(s: RunningService) -> None:
    async with Receiver(otherwise=FAILS) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        for _ in range(8):
            await s.drain()
            s.clock.advance(timedelta(hours=13))
        assert len(await alerts_of(s, TEAM, rule="endpoint_failing")) == 1
        assert (await endpoint_now(s, endpoint))["enabled"]
        await escalated(s)
        for _ in range(4):
            await s.drain()
            s.clock.advance(timedelta(hours=13))
    now = await endpoint_now(s, endpoint)
    assert (now["enabled"], now["disabled_reason"]) == (False, "only_failures")


async def test_a_redirect_is_a_failure_and_is_not_followed(s: RunningService) -> None:
    async with Receiver() as elsewhere, Receiver() as receiver:
        receiver.script.append(Reply(status=302, headers={"Location": elsewhere.url()}))
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        assert (len(receiver.requests), len(elsewhere.requests)) == (1, 0)
    (delivery,) = await deliveries_of(s, endpoint)
    assert (delivery["state"], delivery["attempts"][0]["verdict"]) == ("pending", "configuration")


async def test_three_configuration_failures_ask_for_the_owner(s: RunningService) -> None:
    async with Receiver(otherwise=Reply(status=401)) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        for flagged in (False, False, True):
            await s.drain()
            assert (await endpoint_now(s, endpoint))["needs_configuration"] is flagged
            s.clock.advance(timedelta(hours=1))


@pytest.mark.parametrize("manner", [Manner.drip, Manner.drip_headers, Manner.hang])
async def test_an_answer_that_never_ends_is_cut_and_retried(
    start_service: StartService, manner: Manner
) -> None:
    async with (
        start_service("notifier", **LOCAL, deadline=timedelta(seconds=0.5)) as s,
        Receiver(Reply(manner=manner)) as receiver,
    ):
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        (delivery,) = await deliveries_of(s, endpoint)
    (attempt,) = delivery["attempts"]
    assert (delivery["state"], attempt["fault"], attempt["status"]) == ("pending", "timeout", None)


async def test_an_endless_answer_counts_by_its_status_and_only_its_start_is_kept(s: RunningService) -> None:
    async with Receiver(Reply(manner=Manner.endless)) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
    (delivery,) = await deliveries_of(s, endpoint)
    assert (delivery["state"], len(delivery["attempts"][0]["excerpt"])) == ("done", 2048)


async def test_a_name_that_turns_inward_is_blocked_for_good_and_its_owner_told(s: RunningService) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        async with s.kernel.database.system() as session:
            await session.execute(text("UPDATE endpoint SET url = 'https://10.0.0.1/hook'"))
        await escalated(s)
        await s.drain()
    (delivery,) = await deliveries_of(s, endpoint)
    assert (delivery["state"], delivery["attempts"][0]["fault"]) == ("exhausted", "blocked")
    (alert,) = await alerts_of(s, TEAM, rule="endpoint_blocked")
    assert "10.0.0.1 is not a public address" in alert["title"]
    assert len(await s.events(DeliveryExhausted)) == 1


async def test_five_failures_open_the_circuit_and_one_probe_closes_it(s: RunningService) -> None:
    async with Receiver(otherwise=FAILS) as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=1)
        for _ in range(8):
            await escalated(s)
        await s.drain()
        assert len(receiver.requests) == 5
        assert (await endpoint_now(s, endpoint))["circuit"] == Circuit.open
        untouched = [d for d in await deliveries_of(s, endpoint) if d["attempt"] == 0]
        assert len(untouched) == 3
        receiver.otherwise = Reply()
        s.clock.advance(timedelta(seconds=61))
        await s.drain()
        assert {d["state"] for d in await deliveries_of(s, endpoint)} == {"done"}
    assert (await endpoint_now(s, endpoint))["circuit"] == Circuit.closed


async def test_an_endpoint_never_has_more_in_flight_than_its_owner_allows(s: RunningService) -> None:
    async with Receiver(otherwise=Reply(delay=0.05)) as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=2)
        for _ in range(6):
            await escalated(s)
        await s.drain()
        assert len(receiver.requests) == 6
        assert receiver.most_at_once == 2
    assert {d["state"] for d in await deliveries_of(s, endpoint)} == {"done"}


async def test_an_endpoint_that_hangs_does_not_delay_another(start_service: StartService) -> None:
    async with (
        start_service("notifier", **LOCAL, deadline=LONGEST_DEADLINE) as s,
        Receiver(otherwise=Reply(manner=Manner.hang)) as hanging,
        Receiver() as healthy,
    ):
        s.clock.set(datetime.now(UTC))
        await registered(s, hanging.url())
        await registered(s, healthy.url())
        for _ in range(10):
            await escalated(s)
        worker = worker_of(s)
        running = asyncio.create_task(worker.run())
        await until(lambda: len(healthy.requests) == 10)
        await until(lambda: len(hanging.requests) == 4)
        assert hanging.ended == 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


HEALTHS = {
    "healthy": Health(),
    "open": Health(circuit=Circuit.open, open_until=START + timedelta(minutes=1)),
    "due for a probe": Health(circuit=Circuit.open, open_until=START),
    "throttled": Health(throttled_until=START + timedelta(minutes=1)),
    "throttle over": Health(throttled_until=START),
}


@pytest.mark.parametrize("health", HEALTHS)
@pytest.mark.parametrize("max_in_flight", [1, 3])
async def test_the_claim_gives_an_endpoint_exactly_the_room_its_health_allows(
    s: RunningService, health: str, max_in_flight: int
) -> None:
    s.clock.set(START)
    vault = s.app.state.delivery_tools.vault
    await registered(s, "https://tickets.example.gov/", max_in_flight=max_in_flight)
    for _ in range(5):
        await escalated(s)
    async with s.kernel.database.system() as session:
        (endpoint,) = (await session.scalars(select(Endpoint))).all()
        endpoint.health = HEALTHS[health]
    async with s.kernel.database.system() as session:
        claimed = await claim(session, vault, START, START, 64)
    assert len(claimed) == room(HEALTHS[health], max_in_flight, START)
    async with s.kernel.database.system() as session:
        assert await claim(session, vault, START, START, 64) == []


def worker_of(s: RunningService) -> DeliveryWorker:
    (worker,) = s.kernel.workers
    assert isinstance(worker, DeliveryWorker)
    return worker


async def test_a_stopped_worker_finishes_what_it_is_sending(s: RunningService) -> None:
    async with Receiver(Reply(delay=0.3)) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        worker = worker_of(s)
        running = asyncio.create_task(worker.run())
        await until(lambda: bool(receiver.requests))
        await worker.stop()
        await until(running.done)
    (delivery,) = await deliveries_of(s, endpoint)
    assert delivery["state"] == "done"


@pytest.mark.parametrize("status", [200, 500])
async def test_a_lost_worker_costs_an_attempt_and_its_late_result_is_dropped(
    s: RunningService, status: int
) -> None:
    async with Receiver(Reply(status=status, delay=0.3)) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        late = asyncio.create_task(worker_of(s).run_once())
        await until(lambda: bool(receiver.requests))
        s.clock.advance(timedelta(seconds=61))
        await s.kernel.timers.run_once()
        await late
        (again,) = await deliveries_of(s, endpoint)
    assert len(receiver.requests) == 2
    assert (again["state"], again["attempt"], [a["number"] for a in again["attempts"]]) == ("done", 2, [2])


async def test_two_workers_never_send_a_delivery_twice(s: RunningService) -> None:
    async with Receiver(otherwise=Reply(delay=0.02)) as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=8)
        for _ in range(20):
            await escalated(s)
        first, second = worker_of(s), DeliveryWorker(s.kernel.database, s.app.state.delivery_tools)
        await asyncio.gather(first.run_once(), second.run_once())
        await s.drain()
        ids = [r.headers["webhook-id"] for r in receiver.requests]
    assert len(ids) == len(set(ids)) == 20
    assert {d["attempt"] for d in await deliveries_of(s, endpoint)} == {1}


async def test_both_secrets_sign_during_a_rotation_and_then_only_the_new_one(s: RunningService) -> None:
    async with Receiver() as receiver:
        old = await registered(s, receiver.url())
        new = ok(await act(s, old, "endpoints", "rotate_secret", {"overlap_hours": 1}))
        await escalated(s)
        await s.drain()
        verified(old, receiver.requests[0])
        verified(new, receiver.requests[0])
        async with s.kernel.database.system() as session:
            await session.execute(
                text("UPDATE endpoint_secret SET expires_at = :now WHERE expires_at IS NOT NULL"),
                {"now": s.clock()},
            )
        await escalated(s)
        await s.drain()
    assert len(receiver.requests[1].headers["webhook-signature"].split(" ")) == 1
    verified(new, receiver.requests[1])


async def test_the_receivers_credentials_are_sent_and_kept_out_of_the_log(s: RunningService) -> None:
    echo = Reply(status=400, body=b'{"authorization": "Basic dXNlcjpwYXNz", "error": "no"}')
    async with Receiver(echo) as receiver:
        endpoint = await registered(s, receiver.url(), authorization="Basic dXNlcjpwYXNz")
        await escalated(s)
        await s.drain()
    assert receiver.requests[0].headers["authorization"] == "Basic dXNlcjpwYXNz"
    assert "dXNlcjpwYXNz" not in json.dumps(await deliveries_of(s, endpoint))


async def test_nothing_that_is_logged_holds_a_secret(
    s: RunningService, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Receiver(FAILS, Reply(manner=Manner.reset)) as receiver:
        endpoint = await registered(s, receiver.url(), authorization="Basic dXNlcjpwYXNz")
        await escalated(s)
        for _ in range(3):
            await s.drain()
            s.clock.advance(timedelta(minutes=10))
    logged = "".join(capfd.readouterr())
    assert endpoint["signing_secret"] not in logged
    assert "dXNlcjpwYXNz" not in logged


async def test_a_servicenow_incident_follows_its_alert_to_the_end(s: RunningService) -> None:
    async with Receiver() as receiver:
        await registered(s, receiver.url(), template="servicenow_incident")
        escalation_id = await escalated(s)
        await elevated(s, escalation_id)
        await closed(s, escalation_id)
        await s.drain()
    bodies = [json.loads(r.body) for r in receiver.requests]
    (alert,) = await alerts_of(s, TEAM)
    assert {b["correlation_id"] for b in bodies} == {alert["id"]}
    assert sorted(b["urgency"] for b in bodies) == ["1", "1", "2"]
    assert [b["state"] for b in bodies if "state" in b] == ["6"]


async def test_a_jira_endpoint_gets_one_issue_per_alert(s: RunningService) -> None:
    options = {"template": "jira_issue", "template_options": {"project_key": "OPS"}}
    async with Receiver(otherwise=Reply(status=201)) as receiver:
        await registered(s, receiver.url(), **options)
        escalation_id = await escalated(s)
        await elevated(s, escalation_id)
        await closed(s, escalation_id)
        await s.drain()
    (request,) = receiver.requests
    assert json.loads(request.body)["fields"]["project"] == {"key": "OPS"}


async def test_an_alert_that_becomes_pressing_later_still_opens_its_one_issue(s: RunningService) -> None:
    options = {"template": "jira_issue", "template_options": {"project_key": "OPS"}}
    agreement_id = uuid7()
    async with Receiver() as receiver:
        await registered(s, receiver.url(), least_priority="high", **options)
        await review_due(s, agreement_id, days_left=30, version=1)
        await review_overdue(s, agreement_id, version=2)
        await s.drain()
    assert len(receiver.requests) == 1


async def test_a_member_who_resolves_an_alert_resolves_the_incident_too(s: RunningService) -> None:
    async with Receiver() as receiver:
        await registered(s, receiver.url(), template="servicenow_incident")
        await missed(s)
        (alert,) = await alerts_of(s, TEAM)
        ok(await act(s, alert, "alerts", "resolve"))
        await loop_back(s, AlertOpened, AlertResolved)
        await s.drain()
    # Deliveries of one endpoint are not ordered; receivers join them by correlation_id.
    assert {json.loads(r.body).get("state") for r in receiver.requests} == {None, "6"}


async def test_a_way_to_resolve_that_nobody_here_knows_is_passed_on_too(s: RunningService) -> None:
    async with Receiver() as receiver:
        await registered(s, receiver.url(), template="servicenow_incident")
        await missed(s)
        (alert,) = await alerts_of(s, TEAM)
        expired = AlertResolved(alert_id=alert["id"], org_id=s.world.orgs["customer"], resolution="expired")
        await s.publish(expired, aggregate_id=expired.alert_id, version=2)
        await s.drain()
    assert {json.loads(r.body).get("state") for r in receiver.requests} == {None, "6"}


async def test_each_party_is_told_only_through_its_own_endpoint(s: RunningService) -> None:
    async with Receiver() as customers, Receiver() as providers, Receiver() as strangers:
        await registered(s, customers.url())
        await registered(s, providers.url(), "provider.om_team")
        await registered(s, strangers.url(), "other.om_team")
        await escalated(s)
        await review_due(s, uuid7(), days_left=30, version=1)
        await s.drain()
    assert [len(r.requests) for r in (customers, providers, strangers)] == [2, 1, 0]


async def test_a_foreign_delivery_is_not_found(s: RunningService) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
    (delivery,) = await deliveries_of(s, endpoint)
    path = f"{NOTIFIER}/deliveries/{delivery['id']}"
    for member in ("provider.om_team", "other.om_team"):
        assert (await s.get(member, path)).status_code == 404
        assert (await s.post(member, f"{path}/replay", {}, version=1)).status_code == 404
        assert ok(await s.get(member, f"{NOTIFIER}/deliveries"))["items"] == []
    assert (await s.get(TEAM, f"{NOTIFIER}/deliveries.csv")).text.count("\n") == 2
    listed = ok(await s.get(TEAM, f"{NOTIFIER}/deliveries", state="done", alert_id=delivery["alert_id"]))
    assert [d["id"] for d in listed["items"]] == [delivery["id"]]


async def test_deliveries_are_forgotten_after_ninety_days(s: RunningService) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
    s.clock.advance(timedelta(days=89))
    await s.drain()
    assert len(await deliveries_of(s, endpoint)) == 1
    s.clock.advance(timedelta(days=2))
    await s.drain()
    assert await deliveries_of(s, endpoint) == []
