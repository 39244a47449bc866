"""The gauges and counters that alerts and dashboards stand on, against services that are in that very state."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared.messaging.bus import Delivered, RetryLater
from shared.messaging.failures import Permanent
from shared.messaging.metrics import show_lag
from shared.runtime.clock import system_clock
from shared.runtime.timers import Timer, TimerRunner
from tests.conftest import StartService
from tests.support.alerting import (
    LOCAL,
    NOTIFIER,
    act,
    alerts_of,
    emptied,
    endpoint_now,
    escalated,
    registered,
)
from tests.support.harness import RunningService
from tests.support.receiver import Receiver, Reply

TEAM = "customer.om_team"
GROUP = {"consumer": "concordat-notifier"}
SERVICE = {"service": "notifier"}
SET_ASIDE = ("concordat_dead_letters_waiting", "concordat_parked_aggregates")


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def now() -> float:
    """As Prometheus writes it."""
    return system_clock().timestamp()


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    return await emptied(service, system_clock())


async def measured(s: RunningService) -> None:
    await s.kernel.timers.run_once()


async def test_events_that_nobody_published_are_counted_and_aged(s: RunningService) -> None:
    await measured(s)
    assert sample("concordat_relay_unpublished_events", **SERVICE) == 0
    assert sample("concordat_relay_oldest_unpublished_seconds", **SERVICE) == 0
    await escalated(s)
    await measured(s)
    assert sample("concordat_relay_unpublished_events", **SERVICE) == 2
    assert sample("concordat_relay_oldest_unpublished_seconds", **SERVICE) > 0
    async with s.kernel.database.system() as session:
        await session.execute(text("DELETE FROM outbox"))
    await measured(s)
    assert sample("concordat_relay_unpublished_events", **SERVICE) == 0
    assert sample("concordat_relay_oldest_unpublished_seconds", **SERVICE) == 0


async def test_messages_set_aside_and_the_aggregates_behind_them_are_counted(
    s: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = s.kernel.consumer
    assert consumer is not None
    dead = sample("concordat_consumer_messages_total", **GROUP, outcome="dead")
    await measured(s)
    letters, parked = (sample(name, **SERVICE) for name in SET_ASIDE)

    async def refuses(*_: object) -> None:
        raise Permanent("never")

    with monkeypatch.context() as patched:
        patched.setattr(consumer.inbox, "receive", refuses)
        await escalated(s)
    await consumer.handle(Delivered("concordat.changes", 0, 9, b"k", b"not an event", {}))
    await measured(s)
    assert [sample(name, **SERVICE) for name in SET_ASIDE] == [letters + 2, parked + 1]
    assert sample("concordat_consumer_messages_total", **GROUP, outcome="dead") == dead + 2


async def test_the_lag_of_a_message_in_trouble_grows_until_it_is_handled(
    s: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = s.kernel.consumer
    assert consumer is not None

    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    written = {"event_time": s.clock().isoformat(), "event_id": str(uuid4())}
    message = Delivered("concordat.changes", 3, 1, b"k", b"not an event", written)
    retries = sample("concordat_consumer_retries_total", **GROUP, failure="infrastructure")
    with monkeypatch.context() as patched:
        patched.setattr(consumer.inbox, "receive", away)
        with pytest.raises(RetryLater):
            await consumer.handle(message)
    s.clock.advance(timedelta(minutes=10))
    assert sample("concordat_consumer_lag_seconds", **GROUP) == 600
    assert sample("concordat_consumer_retries_total", **GROUP, failure="infrastructure") == retries + 1
    await consumer.handle(message)
    assert sample("concordat_consumer_lag_seconds", **GROUP) == 0


async def test_a_partition_that_went_to_another_member_is_no_longer_our_lag(
    s: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = s.kernel.consumer
    assert consumer is not None

    async def away(*_: object) -> None:
        raise ConnectionRefusedError

    message = Delivered("concordat.changes", 3, 1, b"k", b"", {"event_time": "2026-01-01T00:00:00Z"})
    with monkeypatch.context() as patched:
        patched.setattr(consumer.inbox, "receive", away)
        with pytest.raises(RetryLater):
            await consumer.handle(message)
        assert consumer.lag_seconds() > 0
        patched.setattr("shared.messaging.consumer.time.monotonic", lambda: 10.0**9)
        assert consumer.lag_seconds() == 0
    await consumer.handle(message)


async def test_the_lag_in_events_has_a_series_for_every_partition_that_is_ours(
    s: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {("concordat.changes", "0"): 7, ("concordat.changes", "1"): 0}

    async def waiting() -> dict[tuple[str, str], int]:
        return ours

    monkeypatch.setattr(s.kernel.consumer, "waiting", waiting)
    place = GROUP | {"topic": "concordat.changes"}
    await measured(s)
    assert sample("concordat_consumer_lag_events", **place, partition="0") == 7
    del ours["concordat.changes", "0"]
    await measured(s)
    assert REGISTRY.get_sample_value("concordat_consumer_lag_events", place | {"partition": "0"}) is None
    assert REGISTRY.get_sample_value("concordat_consumer_lag_events", place | {"partition": "1"}) == 0


async def test_deliveries_are_counted_while_they_wait_and_when_they_end(s: RunningService) -> None:
    def ended(outcome: str) -> float:
        return sample("concordat_deliveries_total", outcome=outcome)

    done, cancelled, retried = ended("done"), ended("cancelled"), attempts("retry")
    async with Receiver(Reply(), Reply(status=500)) as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await measured(s)
        assert queue() == {"due": 1, "later": 0, "held": 0, "in_flight": 0}
        s.clock.advance(timedelta(seconds=90))
        await measured(s)
        assert sample("concordat_delivery_oldest_due_seconds") == 90
        await s.drain()
        await escalated(s)
        await s.drain()
        await measured(s)
    assert queue() == {"due": 0, "later": 1, "held": 0, "in_flight": 0}
    assert sample("concordat_delivery_oldest_due_seconds") == 0
    assert (ended("done"), attempts("retry")) == (done + 1, retried + 1)
    s.clock.advance(timedelta(hours=1))
    await act(s, await endpoint_now(s, endpoint), "endpoints", "disable")
    await measured(s)
    assert queue() == {"due": 0, "later": 0, "held": 1, "in_flight": 0}
    await s.client.delete(
        f"{NOTIFIER}/endpoints/{endpoint['id']}",
        headers=s.headers(TEAM, If_Match=f'"{(await endpoint_now(s, endpoint))["version"]}"'),
    )
    assert ended("cancelled") == cancelled + 1


def attempts(verdict: str) -> float:
    return sample("concordat_delivery_attempts_total", verdict=verdict)


def queue() -> dict[str, float]:
    return {
        state: sample("concordat_delivery_queue", state=state)
        for state in ("due", "later", "held", "in_flight")
    }


async def test_replays_and_refused_callers_are_counted(s: RunningService) -> None:
    replays = sample("concordat_http_idempotency_replays_total", **SERVICE)
    tokens = sample("concordat_http_auth_failures_total", **SERVICE, problem="unauthenticated")
    strangers = sample("concordat_http_auth_failures_total", **SERVICE, problem="not_a_member")
    form = {"name": "Desk", "url": "http://127.0.0.1:9/hook"}
    await escalated(s)
    [alert] = await alerts_of(s, TEAM)
    for _ in range(3):
        path = f"{NOTIFIER}/alerts/{alert['id']}/acknowledge"
        assert (await s.post(TEAM, path, version=alert["version"], key="once")).status_code == 200
    assert (await s.client.get(f"{NOTIFIER}/endpoints")).status_code == 401
    assert (await s.post("nobody.at_all", f"{NOTIFIER}/endpoints", form)).status_code == 403
    assert sample("concordat_http_idempotency_replays_total", **SERVICE) == replays + 2
    assert sample("concordat_http_auth_failures_total", **SERVICE, problem="unauthenticated") == tokens + 1
    assert sample("concordat_http_auth_failures_total", **SERVICE, problem="not_a_member") == strangers + 1


async def test_requests_are_counted_by_template_and_status(s: RunningService) -> None:
    about = SERVICE | {"method": "GET", "route": f"{NOTIFIER}/alerts/{{alert_id}}", "status": "404"}
    before = sample("concordat_http_requests_total", **about)
    for _ in range(2):
        await s.get(TEAM, f"{NOTIFIER}/alerts/{uuid4()}")
    assert sample("concordat_http_requests_total", **about) == before + 2


async def test_readiness_is_a_gauge_per_check(s: RunningService) -> None:
    await s.client.get("/notifier/readyz")
    assert sample("concordat_ready", **SERVICE, check="database") == 1
    s.kernel.stopping = True
    await s.client.get("/notifier/readyz")
    s.kernel.stopping = False
    assert sample("concordat_ready", **SERVICE, check="shutdown") == 0


async def test_the_pool_says_how_many_connections_are_in_use(s: RunningService) -> None:
    assert sample("concordat_db_pool_size", **SERVICE) == 5
    assert sample("concordat_db_pool_in_use", **SERVICE) == 0
    async with s.kernel.database.system(), s.kernel.database.system():
        assert sample("concordat_db_pool_in_use", **SERVICE) == 2


async def test_a_timer_shows_its_pause_its_successes_and_its_failures(s: RunningService) -> None:
    runs = 0

    async def now_and_then(*_: object) -> int:
        nonlocal runs
        runs += 1
        if runs == 2:
            raise ValueError
        runner.stop() if runs > 2 else None
        return 0

    timer = Timer("now_and_then", timedelta(seconds=0.01), now_and_then)
    runner = TimerRunner("toy", s.kernel.database, [timer], system_clock)
    before = now()
    await runner.run()
    about = {"service": "toy", "timer": "now_and_then"}
    assert sample("concordat_timer_failures_total", **about) == 1
    assert sample("concordat_timer_interval_seconds", **about) == 0.01
    assert before <= sample("concordat_timer_last_success_timestamp_seconds", **about) <= now()


async def test_a_timer_that_never_succeeded_counts_from_the_start_of_the_process(s: RunningService) -> None:
    async def never(*_: object) -> int:
        runner.stop()
        raise ValueError

    timer = Timer("never", timedelta(seconds=9), never)
    runner = TimerRunner("toy", s.kernel.database, [timer], system_clock)
    before = now()
    await runner.run()
    about = {"service": "toy", "timer": "never"}
    assert before <= sample("concordat_timer_last_success_timestamp_seconds", **about) <= now()


async def test_two_services_in_one_process_have_series_of_their_own(
    s: RunningService, start_service: StartService
) -> None:
    await escalated(s)
    await measured(s)
    async with start_service("changes") as other:
        await other.kernel.timers.run_once()
        await other.client.get("/changes/readyz")
        page = (await other.client.get("/changes/metrics")).text
    for service, waiting in (("notifier", 2), ("changes", 0)):
        assert f'concordat_relay_unpublished_events{{service="{service}"}} {waiting}.0' in page
        assert f'concordat_db_pool_size{{service="{service}"}} 5.0' in page
        assert f'concordat_ready{{check="database",service="{service}"}} 1.0' in page
        assert f'concordat_consumer_lag_seconds{{consumer="concordat-{service}"}} 0.0' in page


def test_partitions_of_one_group_do_not_touch_those_of_another() -> None:
    show_lag("one", {("t", "0"): 1})
    show_lag("two", {("t", "0"): 2})
    show_lag("one", {})
    assert sample("concordat_consumer_lag_events", consumer="two", topic="t", partition="0") == 2
    show_lag("two", {})
