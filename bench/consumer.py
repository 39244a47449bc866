"""What it costs a service to apply one event: the base for what signatures will add."""

import asyncio
import time
from datetime import UTC, datetime

import uvloop

from bench.figures import Figure, Options, Result, Sample, Side, Step, interleave
from bench.stage import Stage, stage
from shared.contracts.base import Scope, rfc3339
from shared.contracts.charter import MemberChanged
from shared.contracts.governance import Role
from shared.data import directory, migrations
from shared.data.ids import uuid7
from shared.data.session import Database
from shared.messaging.bus import Outgoing
from shared.messaging.outbox import event_row
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.clock import system_clock
from shared.runtime.kernel import consumer_of

EVENTS = 2_000
SERVICE = "sla"
DRAIN_SECONDS = 120
LOOK_SECONDS = 0.05


def consumes(options: Options, step: Step) -> list[Result]:
    """Let a consumer apply members it has not seen, each in a transaction of its own."""
    with stage(SERVICE) as on:
        step("warming up")
        uvloop.run(_consumed(on))
        runs = interleave({"consumer": lambda: uvloop.run(_consumed(on))}, options, step)
    ours = Side(
        f"{EVENTS} events of {EVENTS} new members waiting in the PostgreSQL log; CPU time of the consuming process for "
        "each: read, decode, inbox, guards, one row of the directory, commit",
        "us",
        runs["consumer"],
    )
    return [Figure("consumer_per_event_cpu_us", "CPU time to apply an event", ours, smaller_is_better=True)]


async def _consumed(on: Stage) -> Sample:
    bus = PgLogBus(on.ready.url(migrations.BUS_ROLE))
    database = Database(on.ready.url(migrations.runtime_role(SERVICE)), SERVICE)
    consumer = consumer_of(SERVICE, bus, database, directory.PROJECTIONS, system_clock)
    producer = await bus.producer()
    await producer.publish([_member(on) for _ in range(EVENTS)])
    await producer.close()
    started, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(consumer.run())
    await asyncio.sleep(LOOK_SECONDS)
    while any((await consumer.waiting()).values()):
        if time.perf_counter() - started > DRAIN_SECONDS:
            raise RuntimeError(f"{EVENTS} events were not applied within {DRAIN_SECONDS} s")
        await asyncio.sleep(LOOK_SECONDS)
    spent, cpu = time.perf_counter() - started, time.process_time() - cpu
    await consumer.stop()
    await running
    await database.close()
    return Sample(cpu / EVENTS * 1e6, {"seconds": spent})


def _member(on: Stage) -> Outgoing:
    member_id, now = uuid7(), datetime.now(UTC)
    event = MemberChanged(
        member_id=member_id,
        org_id=on.world.orgs["customer"],
        issuer=on.ready.issuer.settings.issuer,
        subject=str(member_id),
        display_name="A. Member",
        roles=(Role.om_team,),
        active=True,
    )
    row = event_row(event, member_id, 1, Scope(), now, {"source": "/services/charter"})
    headers = {"event_id": str(row["event_id"]), "event_type": event.TYPE, "event_time": rfc3339(now)}
    return Outgoing(event.TOPIC, str(member_id).encode(), row["payload"], headers)
