"""The notifier dies at its worst moments, endpoints hang, drip and reset, and every webhook still arrives."""

import asyncio
import random
from collections import Counter

import pytest

from tests.support.faults.history import rounds
from tests.support.faults.hooks import DRIPS, STUCK, TORN, Hook
from tests.support.faults.notifier import NotifierStage
from tests.support.receiver import Reply

RATE = 12.0
EVENTS = 36
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


async def test_endpoints_that_hang_drip_and_reset_delay_nobody(patient_notifier: NotifierStage) -> None:
    """T18 in the running service: I8 beside endpoints that could hold every slot of the sender."""
    notifier = patient_notifier
    await notifier.add(*WELL)
    sick = await notifier.add(*STUCK_FOR_ALL)
    held = [live for live in sick if live.hook.reply in (STUCK, DRIPS)]
    notifier.stand_beside("stuck endpoints", 1, *held)
    await notifier.feeding(rounds(EVENTS), rate=RATE)
    await notifier.settle(hurry=False)
    await notifier.verdict()
    assert all(live.receiver.requests for live in sick), "a sick endpoint was never tried"
    assert len(notifier.history.of("passed")) > 40, "hardly anything had to pass"


@pytest.mark.parametrize("point", POINTS)
async def test_the_notifier_dies_and_everything_is_delivered(notifier: NotifierStage, point: str) -> None:
    """SIGKILL between the receiver's answer and its commit, and around the commit that makes alert and deliveries."""
    redirecting = Hook(
        "the other's redirecting",
        "other",
        Reply(status=307, headers={"Location": notifier.trap_url}),
        sick=True,
    )
    *_, torn = await notifier.add(*WELL, *STUCK_FOR_ALL[:1], SLOW, REFUSED, redirecting, TORN_AT_FIRST)
    chance = random.Random(notifier.seed)
    feeding = asyncio.create_task(notifier.feeding(None, RATE))
    for _ in range(rounds(2)):
        await notifier.survive(point, chance)
    notifier.enough = True
    await feeding
    torn.heal()
    await notifier.settle()
    await notifier.verdict()
    if point == "delivery_after_send":
        copies = Counter(webhook["id"] for webhook in notifier.history.of("received"))
        assert max(copies.values()) > 1, "nothing was ever sent twice"
