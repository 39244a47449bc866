"""Relays die, freeze and wake up again; every event is published, first deliveries in order."""

import asyncio
import signal

from shared.messaging.relay import lock_class
from tests.support.faults.history import rounds
from tests.support.faults.processes import Actor
from tests.support.faults.stage import Stage
from tests.support.patience import Patience

KILLS = 14
IMPATIENT = dict.fromkeys(("idle_in_transaction_session_timeout", "transaction_timeout"), "1500ms")
# Before version 17 no time-out ends a transaction that was left half-way through preparing a statement.
HOLDS_A_SHARD = """
    SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database()
       AND l.classid = ($1::int8 & 4294967295)::oid
       AND (a.state = 'idle in transaction' OR current_setting('server_version_num')::int >= 170000)
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
        for _ in range(rounds(KILLS)):
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
        await stage.survive(
            lambda point: stage.relay(fail_point=point), "relay_after_publish", deaths=rounds(6)
        )
    await stage.settle()
    await stage.verdict()


async def test_a_relay_that_froze_in_the_middle_loses_its_locks_and_does_no_harm_when_it_wakes(
    stage: Stage,
) -> None:
    """T4: SIGSTOP longer than the server is patient; another takes over; the zombie wakes."""
    service = await stage.service(background=False)
    stage.consumers()
    async with stage.load(service.url, clients=4) as load:
        frozen = stage.relay(timeouts=IMPATIENT)
        await freeze(stage, frozen, HOLDS_A_SHARD, lock_class("changes"))
        stage.relay(timeouts=IMPATIENT)
        await asyncio.sleep(2.5)
        load.is_on = False
        assert not await stage.settle(), "the second relay did not take over"
        load_again = asyncio.create_task(_some_more(stage, service.url))
        frozen.signal(signal.SIGCONT)
        await load_again
    await stage.settle()
    await stage.verdict()


async def test_a_relay_that_freezes_never_keeps_the_log(log_stage: Stage) -> None:
    """T4 on the log in PostgreSQL: it is appended to in one statement, which ends without the process that sent it."""
    stage = log_stage
    service = await stage.service(background=False)
    stage.consumers()
    async with stage.load(service.url, clients=4), stage.admin() as connection:
        relay = stage.relay(timeouts=IMPATIENT)
        for _ in range(rounds(40)):
            relay.signal(signal.SIGSTOP)
            await asyncio.sleep(0.03)
            assert not await connection.fetchval(HOLDS_THE_LOG)
            relay.signal(signal.SIGCONT)
            await asyncio.sleep(stage.chance.uniform(0.005, 0.03))
        await freeze(stage, relay, HOLDS_A_SHARD, lock_class("changes"))
        assert not await connection.fetchval(HOLDS_THE_LOG)
        stage.relay(timeouts=IMPATIENT)
        await asyncio.sleep(1)
    assert not await stage.settle(), "nobody else could publish"
    relay.signal(signal.SIGCONT)
    await stage.verdict()


async def freeze(stage: Stage, actor: Actor, holds: str, *args: object) -> None:
    """Stop a process at a moment when it holds a lock."""
    patience = Patience()
    async with stage.admin() as connection:
        while patience.is_left:
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
