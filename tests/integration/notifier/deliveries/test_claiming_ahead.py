"""An endpoint that answers quickly is given work ahead, and nothing it was promised changes."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.notifier.deliveries.service.claiming import Claimed, claim, give_back
from services.notifier.deliveries.service.worker import DeliveryWorker
from tests.conftest import StartService
from tests.support.alerting import LOCAL, deliveries_of, emptied, endpoint_now, escalated, registered
from tests.support.harness import RunningService
from tests.support.patience import until
from tests.support.receiver import Receiver, Reply

URL = "https://tickets.example.gov/"
FAILS = Reply(status=500)


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    service = await emptied(service, datetime.now(UTC))
    service.kernel.workers[:] = [DeliveryWorker(service.kernel.database, service.app.state.delivery_tools)]
    return service


async def backlog(s: RunningService, length: int) -> list[UUID]:
    """Escalations, a second apart; their ids in the order in which they are due."""
    escalations = []
    for _ in range(length):
        escalations.append(await escalated(s))
        s.clock.advance(timedelta(seconds=1))
    return escalations


async def taken(
    s: RunningService, batch: int = 64, ahead: dict[str, int] | None = None, own: dict[str, int] | None = None
) -> list[Claimed]:
    """What a process would claim now."""
    vault = s.app.state.delivery_tools.vault
    counts = [{UUID(each): n for each, n in (given or {}).items()} for given in (ahead, own)]
    async with s.kernel.database.system() as session:
        return await claim(session, vault, s.clock(), s.clock(), batch, *counts)


async def test_a_long_backlog_arrives_in_order_with_never_more_in_flight_than_allowed(
    s: RunningService,
) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=1)
        escalations = await backlog(s, 30)
        await s.drain()
    arrived = [UUID(json.loads(request.body)["subject"]) for request in receiver.requests]
    assert arrived == escalations
    assert receiver.most_at_once == 1
    assert {d["attempt"] for d in await deliveries_of(s, endpoint)} == {1}


async def test_a_failure_gives_back_what_was_claimed_ahead_as_if_it_had_never_been(s: RunningService) -> None:
    async with Receiver(*[Reply()] * 8, otherwise=FAILS) as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=1)
        await backlog(s, 30)
        await s.drain()
    assert len(receiver.requests) == 8 + 5, "five failures open the circuit"
    assert (await endpoint_now(s, endpoint))["circuit"] == "open"
    untouched = [d for d in await deliveries_of(s, endpoint) if d["attempt"] == 0]
    assert len(untouched) == 30 - 13
    assert {d["state"] for d in untouched} == {"pending"}


async def test_what_one_process_holds_ahead_is_the_only_thing_it_sends(s: RunningService) -> None:
    endpoint = await registered(s, URL, max_in_flight=2)
    await backlog(s, 20)
    ours = await taken(s, ahead={endpoint["id"]: 10})
    assert len(ours) == 12
    assert await taken(s, ahead={endpoint["id"]: 10}) == [], "another process gets none"
    more = await taken(s, ahead={endpoint["id"]: 13}, own={endpoint["id"]: 12})
    assert len(more) == 3
    async with s.kernel.database.system() as session:
        await give_back(session, [*ours, *more])
    assert {(d["state"], d["attempt"]) for d in await deliveries_of(s, endpoint)} == {("pending", 0)}
    assert [each.id for each in await taken(s)] == [each.id for each in ours[:2]], "in the same order"


async def test_while_two_processes_share_an_endpoint_neither_claims_ahead(s: RunningService) -> None:
    endpoint = await registered(s, URL, max_in_flight=2)
    await backlog(s, 20)
    assert len(await taken(s, batch=1)) == 1
    assert len(await taken(s, ahead={endpoint["id"]: 10})) == 1, "what is left of the two"


async def test_others_come_before_what_is_only_ahead(s: RunningService) -> None:
    fast = await registered(s, URL, max_in_flight=2)
    other = await registered(s, URL, max_in_flight=2)
    await backlog(s, 20)
    claimed = await taken(s, batch=3, ahead={fast["id"]: 50})
    of = [str(each.endpoint_id) for each in claimed]
    assert (of.count(other["id"]), of.count(fast["id"])) == (2, 1)


async def test_a_stopped_worker_gives_back_what_it_holds_ahead(s: RunningService) -> None:
    async with Receiver(*[Reply()] * 8, otherwise=Reply(delay=0.3)) as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=1)
        await backlog(s, 20)
        (worker,) = s.kernel.workers
        running = asyncio.create_task(worker.run())
        await until(lambda: len(receiver.requests) == 9)
        await worker.stop()
        await until(running.done)
    assert len(receiver.requests) == 9
    assert states(await deliveries_of(s, endpoint)) == {("done", 1): 9, ("pending", 0): 11}


def states(deliveries: list[dict[str, Any]]) -> dict[tuple[str, int], int]:
    pairs = [(d["state"], d["attempt"]) for d in deliveries]
    return {each: pairs.count(each) for each in pairs}
