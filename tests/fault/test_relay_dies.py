"""Relays die, freeze and wake up again; every event is published, first deliveries in order."""

import asyncio
import signal
import time

from shared.messaging.relay import lock_class
from tests.support.faults.processes import Actor
from tests.support.faults.stage import Stage

KILLS = 14
FROZEN_FOR = "1500ms"
HOLDS_A_SHARD = """
    SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
     WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
       AND l.classid = ($1::int8 & 4294967295)::oid
"""
HOLDS_THE_LOG = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'bus-producer' AND state = 'idle in transaction'
"""


async def test_two_relays_killed_in_turn(stage: Stage) -> None:
    """T3: SIGKILL, with another relay ready to take over."""
    chance = stage.chance
    service = await stage.service(background=False)
    stage.consumers()
    relays = [stage.relay(), stage.relay()]
    async with stage.load(service.url, clients=6):
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 0.5))
            stage.fault("SIGKILL relay")
            await chance.choice(relays).restart()
    await stage.settle()
    await stage.verdict()


async def test_dying_between_publishing_and_marking_publishes_twice_at_most(stage: Stage) -> None:
    """T3 at its worst moment, every time."""
    service = await stage.service(background=False)
    stage.consumers()
    async with stage.load(service.url, clients=4):
        await stage.survive(lambda point: stage.relay(fail_point=point), "relay_after_publish", deaths=6)
    await stage.settle()
    await stage.verdict()


async def test_a_relay_that_froze_in_the_middle_loses_its_locks_and_does_no_harm_when_it_wakes(
    stage: Stage,
) -> None:
    """T4: SIGSTOP longer than the server is patient; another takes over; the zombie wakes."""
    timeouts = {"idle_in_transaction_session_timeout": FROZEN_FOR}
    service = await stage.service(background=False)
    stage.consumers()
    async with stage.load(service.url, clients=4) as load:
        frozen = stage.relay(timeouts=timeouts)
        await freeze(stage, frozen, HOLDS_A_SHARD, lock_class("changes"))
        stage.relay(timeouts=timeouts)
        await asyncio.sleep(2.5)
        load.is_on = False
        if await stage.settle(within=10) >= 10:
            print(
                [
                    dict(r)
                    for r in await stage.fetch(
                        "select pid, application_name, state, wait_event_type, wait_event, left(query,80), now()-state_change as since, pg_blocking_pids(pid) from pg_stat_activity where datname=current_database()"
                    )
                ]
            )
            print(
                await stage.fetch(
                    "select pid, classid, objid, granted from pg_locks where locktype='advisory'"
                )
            )
            assert 0
        load_again = asyncio.create_task(_some_more(stage, service.url))
        frozen.signal(signal.SIGCONT)
        await load_again
    await stage.settle()
    await stage.verdict()


async def test_a_relay_that_froze_while_it_held_the_log_stops_the_others_only_for_its_time_out(
    log_stage: Stage,
) -> None:
    """T4 on the log in PostgreSQL: its one lock must not be held for as long as a handler may take."""
    stage = log_stage
    timeouts = {"idle_in_transaction_session_timeout": FROZEN_FOR}
    service = await stage.service(background=False)
    stage.consumers()
    async with stage.load(service.url, clients=4) as load:
        frozen = stage.relay(timeouts=timeouts)
        await freeze(stage, frozen, HOLDS_THE_LOG)
        stage.relay(timeouts=timeouts)
        await asyncio.sleep(1)
        load.is_on = False
    assert await stage.settle(within=15) < 15, "nobody else could publish"
    frozen.signal(signal.SIGCONT)
    await stage.verdict()


async def freeze(stage: Stage, actor: Actor, holds: str, *args: object) -> None:
    """Stop a process at a moment when it holds a lock."""
    deadline = time.monotonic() + 10
    async with stage.admin() as connection:
        while time.monotonic() < deadline:
            actor.signal(signal.SIGSTOP)
            await asyncio.sleep(0.03)
            if await connection.fetchval(holds, *args):
                stage.fault("SIGSTOP relay")
                return
            actor.signal(signal.SIGCONT)
            await asyncio.sleep(stage.chance.uniform(0.005, 0.03))
    raise AssertionError("the relay was never caught holding a lock")


async def _some_more(stage: Stage, url: str) -> None:
    async with stage.client(url, "late") as client:
        note = await client.create()
        for _ in range(10):
            note = await client.step(note)
