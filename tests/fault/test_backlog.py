"""T19: one endpoint has a long backlog, and the others notice nothing (I8)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from services.notifier.deliveries.service.claiming import _CLAIM
from shared.data.session import Database
from shared.runtime.clock import system_clock
from tests.support.faults.history import rounds
from tests.support.faults.hooks import STUCK, Hook
from tests.support.faults.notifier import NotifierStage
from tests.support.patience import until
from tests.support.receiver import Reply

BACKLOG = 5_000
BYSTANDERS = 50
RATE = 12.0
EVENTS = 36
WELL = (Hook("customer's desk", "customer"), Hook("provider's desk", "provider"), Hook("other", "other"))
DRAINS = Reply(delay=1.0)
"""So the widest endpoint needs 78 seconds for the backlog, on the fastest machine."""


def behind(reply: Reply) -> Hook:
    """With as many in flight as an endpoint may have."""
    return Hook("behind", "customer", reply, sick=True, max_in_flight=64, watched=False)


@pytest.mark.parametrize("reply", [DRAINS, STUCK], ids=["drains", "stuck"])
async def test_a_backlog_of_one_endpoint_delays_no_other(
    patient_notifier: NotifierStage, reply: Reply
) -> None:
    """Whether its receiver takes the backlog or hangs; the sender starts with all of it before it."""
    notifier = patient_notifier
    await notifier.add(*WELL)
    (slowest,) = await notifier.add(behind(reply))
    await notifier.process.kill()
    await notifier.pile_up(slowest, rounds(BACKLOG), BYSTANDERS)
    await notifier.restart()
    notifier.stand_beside("a backlog", 1 if reply is STUCK else rounds(BACKLOG), slowest)
    await notifier.feeding(EVENTS, rate=RATE)
    await notifier.settle(hurry=False)
    await notifier.verdict()
    await until(lambda: len(slowest.receiver.requests) >= slowest.hook.max_in_flight)
    assert len(notifier.history.of("passed")) > 40, "hardly anything had to pass"


async def test_a_new_sender_finds_its_work_without_reading_the_backlog(notifier: NotifierStage) -> None:
    """The first plans of a connection know the values: they must not scan everything once for each endpoint."""
    (slowest,) = await notifier.add(behind(STUCK))
    await notifier.process.kill()
    await notifier.pile_up(slowest, BACKLOG, BYSTANDERS)
    database = Database(notifier.setup.database_url, "notifier", pool_size=1)
    now = system_clock()
    values: dict[str, Any] = {
        "now": now,
        "real_now": now,
        "lease_until": now + timedelta(minutes=1),
        "batch": 64,
        "tests": 16,
    }
    values |= {"endpoints": [UUID(slowest.id)], "aheads": [64], "own": [0]}
    async with database.system() as session:
        explained = await session.scalar(text(f"EXPLAIN (FORMAT JSON) {_CLAIM.text}"), values)
    await database.close()
    plan = json.loads(explained) if isinstance(explained, str) else explained
    scans = [node for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"]
    assert {node["Relation Name"] for node in scans} <= {"endpoint"}, scans


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A query plan and every part of it."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
