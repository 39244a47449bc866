"""Messages no one should have sent: set aside with the reason, others flow on, replay works."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from shared.contracts.base import rfc3339
from shared.data.ids import uuid7
from shared.data.session import Database
from shared.messaging.bus import Outgoing
from shared.messaging.dead_letters import Decision, Replay, Replayed, replay_dead_letters
from shared.messaging.inbox import Inbox
from shared.messaging.pglog.bus import PgLogBus
from shared.messaging.projections import Projection
from tests.support.faults.service import NoteChanged, writes_effects
from tests.support.faults.stage import Stage
from tests.support.patience import until


def envelope(**changes: object) -> bytes:
    """A CloudEvent like ours, unless `changes` say otherwise; a value of None leaves an attribute out."""
    event = {
        "specversion": "1.0",
        "id": str(uuid7()),
        "source": "/poison",
        "type": NoteChanged.TYPE,
        "subject": str(uuid4()),
        "time": rfc3339(datetime.now(UTC)),
        "datacontenttype": "application/json",
        "dataschema": "https://concordat.invalid/schemas/events/none.json",
        "sequence": 1,
        "data": {"note_id": str(uuid4()), "command": "poison"},
    } | changes
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


POISON: dict[str, bytes | None] = {
    "no value at all": None,
    "an empty value": b"",
    "bad UTF-8": b'{"specversion": "1.0", "id": "\xff\xfe"}',
    "bad JSON": envelope()[:-5],
    "JSON that is no object": b"[1, 2, 3]",
    "JSON nested deeper than any parser likes": b"[" * 100_000,
    "another specversion": envelope(specversion="0.3"),
    "no type": envelope(type=None),
    "an id that is no UUID": envelope(id="42"),
    "a version of zero": envelope(sequence=0),
    "a version no database can hold": envelope(sequence=2**70),
    "a NUL in the source": envelope(source="/poison\0"),
    "data that do not fit the type": envelope(data={"note_id": "not an id"}),
    "data with a NUL": envelope(data={"note_id": str(uuid4()), "command": "\0"}),
    "another content type": envelope(datacontenttype="text/xml"),
}
HARMLESS: dict[str, bytes] = {
    "an unknown type": envelope(type="org.concordat.test.unheard.of.v1"),
    "unknown attributes": envelope(surprise="!"),
    "a version far ahead": envelope(sequence=7),
}
LARGE = envelope(data={"note_id": str(uuid4()), "command": "x" * 2_000_000})


async def throw(stage: Stage, values: list[bytes | None]) -> None:
    """Put raw messages onto the bus, past every check of ours."""
    if stage.setup.bus == "kafka":
        await _throw_at_kafka(stage, values)
        return
    publisher = await PgLogBus(stage.setup.bus_address).producer()
    await publisher.publish([Outgoing(stage.setup.topic, uuid4().bytes, value) for value in values])
    await publisher.close()


async def _throw_at_kafka(stage: Stage, values: list[bytes | None]) -> None:
    client = AIOKafkaProducer(bootstrap_servers=stage.setup.bus_address)
    await client.start()
    for value in values:
        headers = [("content-type", b"\xff\xfe"), ("ce_time", b"yesterday")]
        await client.send_and_wait(stage.setup.topic, value, key=uuid4().bytes, headers=headers)
    await client.stop()


async def test_poison_is_set_aside_and_everything_else_flows(stage: Stage) -> None:
    """T17: every kind of rubbish in the middle of good events, for both groups."""
    service = await stage.service()
    stage.consumers(stage.groups[1])
    rubbish = list(POISON.values()) + ([LARGE] if stage.setup.bus == "pglog" else [])
    async with stage.load(service.url, clients=4):
        await asyncio.sleep(0.5)
        await throw(stage, [*rubbish, *HARMLESS.values()])
        await asyncio.sleep(1)
    await stage.settle()
    expected = Counter(POISON.values())
    for group in stage.groups:
        letters = await _letters(stage, group, expected.total())
        assert Counter(letter["value"] for letter in letters) == expected
        assert {letter["error_class"] for letter in letters} == {"permanent"}
    await stage.verdict()
    assert service.exit_code is None


async def _letters(stage: Stage, group: str, count: int) -> list[Any]:
    """The group's dead letters, once there are as many as wanted."""
    letters: list[Any] = []

    async def are_here() -> bool:
        letters[:] = await stage.fetch(
            "SELECT error_class, value FROM dead_letter WHERE consumer = $1", group
        )
        return len(letters) >= count

    await until(are_here, pause=0.1)
    return letters


async def test_a_message_that_was_set_aside_is_replayed_with_those_that_waited_behind_it(
    log_stage: Stage,
) -> None:
    """T17: the second of four changes meets an obstacle; an operator removes it and replays, in order."""
    stage = log_stage
    ledger = stage.groups[0]
    await stage.fetch("INSERT INTO obstacle VALUES ('second')")
    service = await stage.service()
    stage.consumers(stage.groups[1])
    async with stage.client(service.url, "client") as client:
        note = await client.create("first")
        other = await client.create("other")
        for command in ("second", "third", "fourth"):
            note = await client.step(note, command)
        await client.step(other)
    await stage.settle()
    assert await _outcomes(stage, ledger, note.id) == ["done", "dead", "parked", "parked"]
    assert await _outcomes(stage, ledger, other.id) == ["done", "done"]
    await stage.fetch("DELETE FROM obstacle")
    for group in stage.groups:
        results = await _replay(stage, group, UUID(note.id))
        assert [r.result for r in results] == [Replay.REPLAYED] * 3
    async with stage.client(service.url, "client") as client:
        await client.step(note, "fifth")
    await stage.settle()
    assert await _outcomes(stage, ledger, note.id) == ["done"] * 5
    await stage.verdict()


async def _outcomes(stage: Stage, group: str, note: str) -> list[str]:
    rows = await stage.fetch(
        "SELECT outcome FROM inbox WHERE consumer = $1 AND aggregate_id = $2 ORDER BY aggregate_version",
        group,
        UUID(note),
    )
    return [row["outcome"] for row in rows]


async def _replay(stage: Stage, group: str, note: UUID) -> list[Replayed]:
    database = Database(stage.setup.database_url, "changes", pool_size=1)
    inbox = Inbox(group, [Projection("effects", {NoteChanged: writes_effects(group)})])
    decision = Decision("an operator", datetime.now(UTC), "the obstacle is gone")
    async with database.system() as session:
        results = await replay_dead_letters(session, inbox, decision, aggregate_id=note)
    await database.close()
    return results
