"""The service's process dies at the worst moments, and everything it acknowledged is still true."""

import asyncio
import signal
from dataclasses import replace

import pytest

from tests.support.faults.client import Client, Note, Refused
from tests.support.faults.history import rounds
from tests.support.faults.processes import Actor
from tests.support.faults.service import PREFIX
from tests.support.faults.stage import Stage

KILLS = 8
TWINS = 20


async def test_killed_again_and_again_under_load(stage: Stage) -> None:
    """T2: SIGKILL in the middle of requests; clients repeat under the same Idempotency-Key."""
    chance = stage.chance
    service = await stage.service()
    stage.consumers(stage.groups[1])
    async with stage.load(service.url, clients=8):
        for _ in range(rounds(KILLS)):
            await asyncio.sleep(chance.uniform(0.1, 0.5))
            stage.fault("SIGKILL service")
            await service.restart()
            await service.answers()
        await asyncio.sleep(0.3)
    await stage.settle()
    await stage.verdict()
    assert stage.history.of("info"), "no request was ever hit"


@pytest.mark.parametrize("point", ["api_before_commit", "api_after_commit"])
async def test_dying_beside_the_commit_is_invisible_to_a_client_that_repeats(
    log_stage: Stage, point: str
) -> None:
    stage = log_stage
    service = await stage.service(setup=replace(stage.setup, fail_point=f"{point}:3"))
    stage.consumers(stage.groups[1])
    stage.fault(point)
    async with stage.client(service.url, "client") as client, asyncio.TaskGroup() as group:
        keeper = group.create_task(always_restarted(service))
        note = await client.create()
        for _ in range(7):
            note = await client.step(note)
        keeper.cancel()
    await stage.settle()
    await stage.verdict()
    assert note.version == 8
    assert len(stage.history.of("info")) >= 3, "the fail point was never reached"


async def always_restarted(actor: Actor) -> None:
    while True:
        assert await actor.ended() == -signal.SIGKILL
        actor.start()


@pytest.mark.parametrize("point", ["api_before_commit", "api_after_commit"])
async def test_twenty_identical_requests_and_a_crash_between_have_one_effect(
    log_stage: Stage, point: str
) -> None:
    """T28: the first of twenty twins dies beside its commit; all repeat."""
    stage = log_stage
    service = await stage.service(setup=replace(stage.setup, fail_point=point))
    stage.consumers(stage.groups[1])
    stage.fault(point)
    async with stage.client(service.url, "twin") as client, asyncio.TaskGroup() as group:
        twins = [group.create_task(client.create("the-one-key")) for _ in range(TWINS)]
        assert await service.ended() == -signal.SIGKILL
        healthy = await stage.service(setup=stage.setup, port=service.port)
        notes = await asyncio.gather(*twins)
        again = await client.create("the-one-key")
        await refuses_another_body(client)
    assert {*notes, again} == {Note(again.id, 1)}
    assert healthy.exit_code is None
    await stage.settle()
    await stage.verdict()
    assert len(stage.history.of("row")) == 1


async def refuses_another_body(client: Client) -> None:
    body = {"charter_id": client.charter_id, "title": "something else"}
    with pytest.raises(Refused) as refused:
        await client.ask("create", "the-one-key", PREFIX, body)
    assert (refused.value.answer.status_code, refused.value.answer.json()["code"]) == (
        422,
        "idempotency_key_reused",
    )


async def test_of_rivals_for_one_version_exactly_one_wins_each_round(log_stage: Stage) -> None:
    """T29: If-Match races through two processes of the service."""
    stage = log_stage
    services = [await stage.service(), await stage.service(background=False)]
    stage.consumers(stage.groups[1])
    rivals = [stage.client(services[n % 2].url, f"rival{n}") for n in range(10)]
    note = await rivals[0].create()
    for _ in range(10):
        outcomes = await asyncio.gather(*(rival.step(note) for rival in rivals), return_exceptions=True)
        winners = [outcome for outcome in outcomes if isinstance(outcome, Note)]
        losers = [o.answer.status_code for o in outcomes if isinstance(o, Refused)]
        assert (len(winners), losers) == (1, [412] * 9), outcomes
        note = winners[0]
    assert note.version == 11
    for rival in rivals:
        await rival.close()
    await stage.settle()
    await stage.verdict()


async def test_nothing_breaks_without_any_fault(stage: Stage) -> None:
    """T1: many clients, one process, no fault: the checker must be silent then too, and nobody sees a 5xx."""
    service = await stage.service()
    stage.consumers(stage.groups[1])
    async with stage.load(service.url, clients=30):
        await asyncio.sleep(4.5)
    await stage.settle()
    await stage.verdict()
    assert not stage.history.of("info")
