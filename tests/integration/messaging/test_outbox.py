"""From the outbox to the bus: nothing lost, nothing invented, first deliveries in order per aggregate."""

import asyncio
import json
import random
from collections import defaultdict
from dataclasses import replace
from typing import NoReturn
from uuid import UUID, uuid4

import orjson
import pytest
from cloudevents.v1.http import from_json
from sqlalchemy.event import listen
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.contracts.base import Envelope
from shared.data.ids import uuid7
from shared.messaging.backlog import WAITING_TO_PUBLISH
from shared.messaging.connection import connect
from shared.messaging.outbox import publish
from shared.messaging.relay import Relay, RelayTiming, lock_class
from shared.pure.refusal import Refusal
from tests.support.messaging import (
    Deposited,
    Recording,
    RolledBack,
    Service,
    context,
    kill,
    running,
)
from tests.support.patience import until

QUICK = RelayTiming(poll=0.02, first_backoff=0.02, longest_backoff=0.1)
IMPATIENT = replace(QUICK, publish=0.3)
"""For a bus that hangs. A healthy one on a busy machine may take longer."""


def relay(service: Service, bus: Recording, timing: RelayTiming = QUICK) -> Relay:
    return Relay(service.url, bus, service="test", batch=7, timing=timing)


async def nothing_waits(service: Service) -> bool:
    return not await service.fetch("SELECT 1 FROM outbox LIMIT 1")


async def write(service: Service, accounts: list[UUID], events: int, seed: int) -> None:
    """One writer: deposits to random accounts, held open for a moment, some rolled back."""
    chance = random.Random(seed)
    for _ in range(events):
        try:
            await service.deposit(
                chance.choice(accounts), 1, pause=chance.random() * 0.01, fail=chance.random() < 0.05
            )
        except RolledBack:
            continue


def first_deliveries(bus: Recording) -> dict[UUID, list[int]]:
    """Per aggregate the versions in the order they were first seen."""
    seen: dict[UUID, list[int]] = defaultdict(list)
    for message in bus.published:
        event = Envelope.model_validate_json(message.value or b"")
        if event.sequence not in seen[event.subject]:
            seen[event.subject].append(event.sequence)
    return seen


async def assert_complete_and_in_order(service: Service, bus: Recording) -> None:
    committed = {row["id"]: row["version"] for row in await service.fetch("SELECT id, version FROM account")}
    seen = first_deliveries(bus)
    assert {account: len(versions) for account, versions in seen.items()} == {
        account: version for account, version in committed.items() if version
    }
    assert all(versions == list(range(1, len(versions) + 1)) for versions in seen.values())


@pytest.mark.parametrize(
    "failures",
    [
        pytest.param([], id="a_healthy_bus"),
        pytest.param(
            ["before", "half", "after", "connect", "connect", "half", "after"] * 4, id="a_bus_that_fails"
        ),
        pytest.param(["hang", "half", "hang"], id="a_bus_that_hangs"),
    ],
)
async def test_under_concurrent_writers_nothing_is_lost_and_order_holds(
    service: Service, failures: list[str]
) -> None:
    bus = Recording(failures)
    accounts = [await service.open_account() for _ in range(10)]
    async with running(relay(service, bus, IMPATIENT if "hang" in failures else QUICK)):
        await asyncio.gather(*(write(service, accounts, 30, seed) for seed in range(10)))
        await until(lambda: nothing_waits(service))
    await assert_complete_and_in_order(service, bus)
    if failures:
        assert bus.producers > 1, "a producer that failed must not be used again"
    else:
        ids = [message.headers["event_id"] for message in bus.published]
        assert len(ids) == len(set(ids)), "nothing failed, so nothing is published twice"


async def test_relays_that_are_killed_and_compete_lose_nothing(service: Service) -> None:
    bus = Recording()
    accounts = [await service.open_account() for _ in range(6)]
    writers = asyncio.gather(*(write(service, accounts, 40, seed) for seed in range(6)))
    while not writers.done():
        rivals = [asyncio.create_task(relay(service, bus).run()) for _ in range(2)]
        await asyncio.sleep(0.12)
        for rival in rivals:
            await kill(rival)
    await writers
    async with running(relay(service, bus)):
        await until(lambda: nothing_waits(service))
    await assert_complete_and_in_order(service, bus)


async def test_a_shard_another_relay_holds_is_left_alone(service: Service) -> None:
    bus = Recording()
    await service.deposit(await service.open_account(), 1)
    shard = (await service.fetch("SELECT shard FROM outbox"))[0]["shard"]
    rival = await connect(service.url, "rival")
    async with running(relay(service, bus)):
        async with rival.transaction():
            await rival.execute("SELECT pg_advisory_xact_lock($1, $2)", lock_class("test"), shard)
            await asyncio.sleep(0.2)
            assert bus.published == []
        await until(lambda: len(bus.published) == 1)
    await rival.close()


async def test_services_that_share_a_database_have_locks_of_their_own() -> None:
    names = ("charter", "sla", "changes", "notifier")
    assert len({lock_class(name) for name in names}) == len(names)
    assert all(-(2**31) <= lock_class(name) < 2**31 for name in names)


async def test_an_event_the_bus_refuses_does_not_hold_up_other_shards(service: Service) -> None:
    class Picky(Recording):
        async def publish(self, batch: list) -> None:  # type: ignore[type-arg,override]
            if any(b'"amount":13' in (message.value or b"") for message in batch):
                raise ValueError("message too large")
            await super().publish(batch)

    bus = Picky()
    unlucky = await service.open_account(account_id=UUID(int=1))
    lucky = await service.open_account(account_id=UUID(int=2))
    async with running(relay(service, bus)):
        await service.deposit(unlucky, 13)
        for amount in range(3):
            await service.deposit(lucky, amount)
        await until(lambda: len(bus.published) == 3)
    stuck = await service.fetch("SELECT attempts, last_error FROM outbox")
    assert len(stuck) == 1
    assert stuck[0]["attempts"] >= 1
    assert "message too large" in stuck[0]["last_error"]


async def test_the_wakeup_spares_the_poll(service: Service) -> None:
    bus, wakeup = Recording(), asyncio.Event()
    patient = Relay(service.url, bus, service="test", wakeup=wakeup, timing=RelayTiming(poll=3600))
    async with running(patient):
        await until(lambda: patient.healthy)
        await service.deposit(await service.open_account(), 1)
        wakeup.set()
        await until(lambda: len(bus.published) == 1)


class Away:
    """A bus nobody reaches."""

    asked = 0

    async def producer(self) -> NoReturn:
        self.asked += 1
        raise ConnectionRefusedError("no broker answers")


async def test_a_wakeup_does_not_hurry_a_relay_whose_bus_is_away(service: Service) -> None:
    bus, wakeup = Away(), asyncio.Event()
    timing = RelayTiming(first_backoff=3600, longest_backoff=3600)
    async with running(Relay(service.url, bus, service="test", wakeup=wakeup, timing=timing)):  # type: ignore[arg-type]
        await until(lambda: bus.asked == 1)
        for _ in range(20):
            wakeup.set()
            await asyncio.sleep(0.01)
    assert bus.asked == 1


async def test_the_relay_survives_the_loss_of_its_connection(service: Service) -> None:
    bus, account = Recording(), await service.open_account()
    async with running(relay(service, bus)) as working:
        await until(lambda: working.healthy)
        await service.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'relay-test'"
        )
        await service.deposit(account, 1)
        await until(lambda: len(bus.published) == 1)


async def test_an_event_is_a_cloudevent_that_others_can_read(service: Service) -> None:
    bus, account = Recording(), await service.open_account()
    async with running(relay(service, bus)):
        await service.deposit(account, 5)
        await until(lambda: len(bus.published) == 1)
    [message] = bus.published
    assert message.key == str(account).encode()
    assert message.headers["content-type"].startswith("application/cloudevents+json")
    event = from_json(message.value or b"")
    assert event.get_attributes()["subject"] == str(account)
    assert event.get_attributes()["time"] == "2026-11-22T12:00:00.000Z"
    assert event.get_data() == {"amount": 5, "note": ""}
    assert message.headers["event_id"] == event.get_attributes()["id"]
    assert all(name.isalnum() and name.islower() for name in json.loads(message.value or b""))


async def test_a_transaction_that_rolls_back_publishes_nothing(service: Service) -> None:
    account = await service.open_account()
    with pytest.raises(RolledBack):
        await service.deposit(account, 1, fail=True)
    assert await nothing_waits(service)


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]


async def test_the_aggregate_is_locked_before_the_event_gets_its_position(service: Service) -> None:
    statements: list[str] = []
    account = await service.open_account()
    listen(service.engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    async with service.sessions() as session:
        row = await session.get_one(Account, account)
        row.version = 1
        await publish(session, Deposited(amount=1), **context(account, 1))
    first, second = (statement for statement in statements if not statement.startswith("SELECT"))
    assert first.startswith("UPDATE account")
    assert "nextval('event_position_seq')" in second


async def test_one_version_carries_one_event(service: Service) -> None:
    account = await service.open_account()
    await service.deposit(account, 1)
    async with service.sessions() as session:
        with pytest.raises(IntegrityError):
            await publish(session, Deposited(amount=2), **context(account, 1))
        await session.rollback()


async def test_an_event_no_broker_would_take_is_refused_before_it_blocks_the_shard(service: Service) -> None:
    account = await service.open_account()
    async with service.sessions() as session:
        with pytest.raises(Refusal) as refused:
            await publish(session, Deposited(amount=1, note="x" * 262_144), **context(account, 1))
        await publish(session, Deposited(amount=1, note="x" * 250_000), **context(account, 1))
    assert refused.value.code == "event_too_large"
    assert len(await service.fetch("SELECT 1 FROM outbox")) == 1


async def test_what_is_published_leaves_the_queue_and_stays_in_the_archive(service: Service) -> None:
    bus, account = Recording(), await service.open_account()
    for amount in range(5):
        await service.deposit(account, amount)
    connection = await connect(service.url, "test")
    waiting = await connection.fetchrow(WAITING_TO_PUBLISH)
    assert (waiting["events"], waiting["seconds"] > 0) == (5, True)
    async with running(relay(service, bus)):
        await until(lambda: nothing_waits(service))
    waiting = await connection.fetchrow(WAITING_TO_PUBLISH)
    assert (waiting["events"], waiting["seconds"]) == (0, 0)
    archived = await connection.fetch("SELECT payload, key_id, signature FROM event ORDER BY position")
    assert [row["payload"] for row in archived] == [message.value for message in bus.published]
    assert {(row["key_id"], row["signature"]) for row in archived} == {(None, None)}
    await connection.close()


async def test_an_event_names_the_one_before_it_in_its_aggregate(service: Service) -> None:
    bus, account = Recording(), await service.open_account()
    await service.deposit(account, 1)
    # A version without an event: an act that concerns nobody else.
    await service.fetch("UPDATE account SET version = version + 1 WHERE id = $1", account)
    await service.deposit(account, 2)
    await service.deposit(await service.open_account(), 3)
    async with running(relay(service, bus)):
        await until(lambda: nothing_waits(service))
    before = {
        orjson.loads(message.value or b"")["data"]["amount"]: message.headers.get("event_previous")
        for message in bus.published
    }
    assert before == {1: None, 2: "1", 3: None}
    assert {m.headers.get("event_previoustype") for m in bus.published} == {None, Deposited.TYPE}


def test_ids_sort_by_time_of_creation() -> None:
    ids = [uuid7() for _ in range(200)]
    milliseconds = [value.int >> 80 for value in ids]
    assert milliseconds == sorted(milliseconds)
    assert {(value.version, value.variant) for value in ids} == {(7, uuid4().variant)}
