"""The notifier dies at its worst moments, endpoints hang, drip and reset, and every webhook still arrives."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.faults.history import History, rounds
from tests.support.faults.hooks import DRIPS, STUCK, TORN, Hook
from tests.support.faults.notifier import NotifierStage, notifier_stage
from tests.support.postgres import PostgresServer
from tests.support.receiver import Reply

RATE = 12.0
POINTS = ("delivery_after_send", "consumer_before_db_commit", "consumer_after_db_commit")
WELL = (
    Hook("customer's desk", "customer"),
    Hook("customer's tickets", "customer", template="servicenow_incident"),
    Hook("provider's desk", "provider"),
    Hook("the other's desk", "other"),
)
STUCK_FOR_ALL = (
    Hook("customer's stuck", "customer", STUCK, sick=True, max_in_flight=64),
    Hook("provider's stuck", "provider", STUCK, sick=True, max_in_flight=64),
    Hook("provider's dripping", "provider", DRIPS, sick=True, max_in_flight=64),
    Hook("the other's torn", "other", TORN, sick=True, max_in_flight=64),
)
SLOW = Hook("customer's slow", "customer", Reply(delay=0.3))
TORN_AT_FIRST = Hook("provider's torn at first", "provider", TORN)
REFUSED = Hook("customer's refused", "customer", sick=True, refused=True)


@pytest.fixture
async def stage(
    postgres: PostgresServer, issuer_folder: Path, history: History, seed: int
) -> AsyncIterator[NotifierStage]:
    async with notifier_stage(postgres, issuer_folder, history, seed) as made:
        yield made


async def test_endpoints_that_hang_drip_and_reset_delay_nobody(stage: NotifierStage) -> None:
    """T18 in the running service: I8 beside endpoints that could hold every slot of the sender."""
    await stage.add(*WELL)
    await stage.feeding(seconds=1.5, rate=RATE, beside="nobody")
    await stage.settle()
    sick = await stage.add(*STUCK_FOR_ALL)
    await stage.feeding(seconds=1.5 * rounds(2), rate=RATE, beside="stuck endpoints")
    await stage.settle()
    await stage.verdict()
    assert all(live.receiver.requests for live in sick), "a sick endpoint was never tried"
    assert len(stage.history.of("latency")) > 40, "hardly anything was measured"


@pytest.mark.parametrize("point", POINTS)
async def test_the_notifier_dies_and_everything_is_delivered(stage: NotifierStage, point: str) -> None:
    """SIGKILL between the receiver's answer and its commit, and around the commit that makes alert and deliveries."""
    redirecting = Hook(
        "the other's redirecting", "other", Reply(status=307, headers={"Location": stage.trap_url}), sick=True
    )
    *_, torn = await stage.add(*WELL, *STUCK_FOR_ALL[:1], SLOW, REFUSED, redirecting, TORN_AT_FIRST)
    chance = random.Random(stage.seed)
    feeding = asyncio.create_task(stage.feeding(math.inf, RATE))
    for _ in range(rounds(2)):
        await stage.survive(point, chance)
    stage.enough = True
    await feeding
    torn.heal()
    await stage.settle()
    await stage.verdict()
    if point == "delivery_after_send":
        copies = Counter(webhook["id"] for webhook in stage.history.of("received"))
        assert max(copies.values()) > 1, "nothing was ever sent twice"
