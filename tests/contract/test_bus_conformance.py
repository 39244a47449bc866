"""What every bus promises, on the log in PostgreSQL and, where KAFKA_BOOTSTRAP says so, on Apache Kafka."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from shared.data.ids import uuid7
from shared.messaging.bus import Bus, Delivered, Outgoing, RetryLater
from shared.messaging.kafka import consumer as kafka_consumer
from shared.messaging.kafka.bus import KafkaBus, ensure_topics
from shared.messaging.pglog.bus import PgLogBus
from tests.support.messaging import kill, running
from tests.support.patience import PATIENCE, until
from tests.support.postgres import PostgresServer
from tests.support.processes import kafka_bootstrap

BUSES = ("pglog", pytest.param("kafka", marks=pytest.mark.kafka))


@dataclass
class Place:
    """A bus with a topic and a group that nobody else uses."""

    bus: Bus
    topic: str
    group: str = field(default_factory=lambda: f"group-{uuid4().hex[:12]}")

    async def publish(self, *messages: Outgoing) -> None:
        producer = await self.bus.producer()
        await producer.publish(messages)
        await producer.close()

    def message(self, key: str, value: bytes | None, **headers: str) -> Outgoing:
        return Outgoing(self.topic, key.encode(), value, {"event_id": str(uuid7())} | headers)

    async def publish_values(self, key: str, *values: int) -> None:
        await self.publish(*(self.message(key, b"%d" % value) for value in values))

    def consumer(self, handle: Callable[[Delivered], Awaitable[None]], group: str | None = None) -> Any:
        return self.bus.consumer(group or self.group, [self.topic], handle)


@dataclass
class Notebook:
    """A handle that writes down what it gets."""

    seen: list[Delivered] = field(default_factory=list)

    async def __call__(self, message: Delivered) -> None:
        self.seen.append(message)

    def values(self, key: str | None = None) -> list[int]:
        return [int(m.value or b"-1") for m in self.seen if key is None or m.key == key.encode()]

    def by_key(self) -> dict[str, list[int]]:
        offsets: dict[str, list[int]] = defaultdict(list)
        for message in self.seen:
            offsets[(message.key or b"").decode()].append(int(message.value or b"-1"))
        return offsets


@pytest.fixture(params=BUSES)
async def place(request: pytest.FixtureRequest, postgres: PostgresServer) -> AsyncIterator[Place]:
    topic = f"conformance.{uuid4().hex[:12]}"
    if request.param == "kafka":
        bootstrap = kafka_bootstrap()
        await ensure_topics(bootstrap, [topic], partitions=4, replication=1)
        yield Place(KafkaBus(bootstrap, session_timeout_ms=6000), topic)
        return
    async with postgres.database("bus") as url:
        bus = PgLogBus(url, poll=0.02)
        await bus.install()
        yield Place(bus, topic)


async def test_every_message_arrives_whole(place: Place) -> None:
    sent = place.message("k", '{"größe": 1}'.encode(), traceparent="00-abc-def-01")
    await place.publish(sent)
    notebook = Notebook()
    async with running(place.consumer(notebook)):
        await until(lambda: len(notebook.seen) == 1)
    [got] = notebook.seen
    assert (got.topic, got.key, got.value, dict(got.headers)) == (
        sent.topic,
        sent.key,
        sent.value,
        dict(sent.headers),
    )


async def test_order_per_key_survives_several_publishers(place: Place) -> None:
    keys = [f"key-{n}" for n in range(8)]

    async def publish(key: str) -> None:
        for start in range(0, 60, 20):
            await place.publish_values(key, *range(start, start + 20))

    notebook = Notebook()
    async with running(place.consumer(notebook)):
        await asyncio.gather(*(publish(key) for key in keys))
        await until(lambda: len(notebook.seen) >= 480)
    assert notebook.by_key() == {key: list(range(60)) for key in keys}


async def test_a_new_group_starts_at_the_beginning(place: Place) -> None:
    await place.publish_values("k", 1, 2, 3)
    notebook = Notebook()
    async with running(place.consumer(notebook)):
        await until(lambda: notebook.values() == [1, 2, 3])


async def test_every_group_gets_every_message(place: Place) -> None:
    first, second = Notebook(), Notebook()
    async with running(place.consumer(first)), running(place.consumer(second, group=f"{place.group}-b")):
        await place.publish_values("a", 1, 2, 3)
        await place.publish_values("b", 4, 5, 6)
        await until(lambda: sorted(first.values()) == sorted(second.values()) == [1, 2, 3, 4, 5, 6])


async def test_members_of_a_group_share_the_work_in_order(place: Place) -> None:
    first, second = Notebook(), Notebook()
    keys = [f"key-{n}" for n in range(24)]

    async def slowly(notebook: Notebook, message: Delivered) -> None:
        await asyncio.sleep(0.005)
        await notebook(message)

    one, other = place.consumer(partial(slowly, first)), place.consumer(partial(slowly, second))
    async with running(one), running(other):
        await until_both_work(place, first, second)
        first.seen.clear()
        second.seen.clear()
        for start in range(0, 20, 5):
            await asyncio.gather(*(place.publish_values(key, *range(start, start + 5)) for key in keys))
        await until(lambda: len(first.seen) + len(second.seen) >= 480)
    assert first.seen, "the first member got nothing"
    assert second.seen, "the second member got nothing"
    whole = Notebook(sorted(first.seen + second.seen, key=lambda m: (m.partition, m.offset)))
    assert whole.by_key() == {key: list(range(20)) for key in keys}


async def until_both_work(place: Place, first: Notebook, second: Notebook) -> None:
    """Until the group has settled: both members receive something."""
    async with asyncio.timeout(PATIENCE):
        while not (first.seen and second.seen):
            await asyncio.gather(*(place.publish_values(f"settle-{n}", 0) for n in range(8)))
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)


async def test_a_member_killed_between_the_effect_and_the_commit_leaves_the_message_to_the_next(
    place: Place,
) -> None:
    await place.publish_values("k", 1, 2, 3)
    interrupted = Notebook()

    async def effect_then_death(message: Delivered) -> None:
        await interrupted(message)
        if len(interrupted.seen) == 2:
            await asyncio.sleep(3600)

    task = asyncio.create_task(place.consumer(effect_then_death).run())
    await until(lambda: len(interrupted.seen) == 2)
    await kill(task)
    notebook = Notebook()
    async with running(place.consumer(notebook)):
        await until(lambda: 3 in notebook.values())
    assert notebook.values()[-2:] == [2, 3], "the message in hand comes again, and in order"


async def test_after_a_polite_stop_nothing_comes_twice(place: Place) -> None:
    before, after = Notebook(), Notebook()
    async with running(place.consumer(before)):
        await place.publish_values("k", *range(10))
        await until(lambda: len(before.seen) == 10)
    async with running(place.consumer(after)):
        await place.publish_values("k", 10, 11)
        await until(lambda: len(after.seen) >= 2)
    assert before.values() + after.values() == list(range(12))


async def test_a_message_that_must_wait_holds_back_its_key_only(place: Place) -> None:
    notebook, ready, refusals = Notebook(), asyncio.Event(), 0

    async def wait_for_it(message: Delivered) -> None:
        nonlocal refusals
        if message.value == b"1" and not ready.is_set():
            refusals += 1
            raise RetryLater(0.2)
        await notebook(message)

    async with running(place.consumer(wait_for_it)):
        await place.publish_values("stuck", 1, 2, 3)
        await until(lambda: refusals > 0)
        await asyncio.gather(*(place.publish_values(f"free-{n}", 7) for n in range(10)))
        await until(lambda: 7 in notebook.values() and refusals > 1)
        assert notebook.values("stuck") == []
        ready.set()
        await until(lambda: len(notebook.seen) >= 13)
    assert notebook.values("stuck") == [1, 2, 3]


async def test_a_handle_that_crashes_gets_the_message_again(place: Place) -> None:
    notebook, crashes = Notebook(), 0

    async def crash_once(message: Delivered) -> None:
        nonlocal crashes
        if message.value == b"2" and not crashes:
            crashes += 1
            raise ZeroDivisionError
        await notebook(message)

    async with running(place.consumer(crash_once)):
        await place.publish_values("k", 1, 2, 3)
        await until(lambda: notebook.values() == [1, 2, 3])


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", b"not json", b"", None], ids=["bytes", "text", "empty", "null"]
)
async def test_poison_is_delivered_as_it_is_and_blocks_nobody(place: Place, value: bytes | None) -> None:
    seen: list[bytes | None] = []

    async def note(message: Delivered) -> None:
        seen.append(message.value)

    async with running(place.consumer(note)):
        await place.publish(place.message("k", value), place.message("k", b"next"))
        await until(lambda: seen == [value, b"next"])


async def test_a_message_without_key_or_id_arrives(place: Place) -> None:
    notebook = Notebook()
    async with running(place.consumer(notebook)):
        await place.publish(Outgoing(place.topic, None, b"1"), Outgoing(place.topic, None, b"2"))
        await until(lambda: sorted(notebook.values()) == [1, 2])


async def test_a_group_can_be_rewound_to_the_beginning(place: Place) -> None:
    await place.publish_values("k", 1, 2, 3)
    for _ in range(2):
        notebook = Notebook()
        async with running(place.consumer(notebook)):
            await until(lambda: notebook.values() == [1, 2, 3])  # noqa: B023 - used within the turn
        await place.bus.rewind(place.group, place.topic)


async def test_a_group_can_be_rewound_to_an_offset(place: Place) -> None:
    await place.publish_values("k", 1, 2, 3)
    before, after = Notebook(), Notebook()
    async with running(place.consumer(before)):
        await until(lambda: len(before.seen) == 3)
    second = before.seen[1]
    await place.bus.rewind(place.group, place.topic, {second.partition: second.offset})
    async with running(place.consumer(after)):
        await until(lambda: after.values() == [2, 3])


async def test_existing_topics_are_not_missing(place: Place) -> None:
    assert await place.bus.missing_topics([place.topic]) == set()


async def test_a_consumer_of_nothing_waits_and_stops(place: Place) -> None:
    async with running(place.bus.consumer(place.group, [], Notebook())) as idle:
        await asyncio.sleep(0.1)
        assert idle.healthy


async def test_publishing_the_same_event_again_is_harmless(place: Place) -> None:
    message, notebook = place.message("k", b"1"), Notebook()
    await place.publish(message)
    await place.publish(message, place.message("k", b"2"))
    async with running(place.consumer(notebook)):
        await until(lambda: 2 in notebook.values())
    assert {m.headers["event_id"] for m in notebook.seen if m.value == b"1"} == {message.headers["event_id"]}


async def test_a_member_knows_how_far_its_group_is_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "WATCH_EVERY", 0.1)
    held_back = True

    async def stuck_at_two(message: Delivered) -> None:
        if held_back and message.value == b"2":
            raise RetryLater(0.05)

    async with running(place.consumer(stuck_at_two)) as member:

        async def behind() -> int:
            return sum((await member.waiting()).values())

        await place.publish_values("k", 1, 2, 3, 4)
        async with asyncio.timeout(PATIENCE):
            while await behind() != 3:
                await asyncio.sleep(0.02)
            held_back = False
            while await behind() != 0:
                await asyncio.sleep(0.02)
        assert {topic for topic, _ in await member.waiting()} == {place.topic}
