"""One message in one transaction: inbox row, version guards, effects and outgoing events, or none of them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Envelope, Event
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered
from shared.messaging.decoding import decode_envelope, decode_event
from shared.messaging.failures import Failure, Poison, Replaying
from shared.messaging.metrics import GAPS
from shared.messaging.projections import Feed, Projection, feeds

SessionFactory = Callable[[], AbstractAsyncContextManager[AsyncSession]]


class Outcome(StrEnum):
    DONE = "done"
    STALE = "stale"
    PARKED = "parked"
    DEAD = "dead"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"


_CLAIM: Final = """
    INSERT INTO inbox (consumer, event_id, source, aggregate_id, aggregate_version, topic, part, off, outcome)
    SELECT :consumer, :event_id, :source, :aggregate_id, :version, :topic, :part, :off, :outcome
"""
_ADVANCE: Final = """
    INSERT INTO consumed_version AS seen (consumer, projection, aggregate_id, version)
    SELECT :consumer, projection, :aggregate_id, :version FROM unnest(CAST(:projections AS text[])) AS projection
"""
_UNLESS_OLD: Final = """
    ON CONFLICT (consumer, aggregate_id, projection) DO UPDATE SET version = EXCLUDED.version
      WHERE seen.version < EXCLUDED.version
    RETURNING projection
"""
# What the guards said before, for the gap; a statement does not see what it writes itself.
_BEFORE: Final = """
    SELECT coalesce(jsonb_object_agg(projection, version), '{}') FROM consumed_version
     WHERE consumer = :consumer AND aggregate_id = :aggregate_id
"""
# A replay of this consumer's projections holds the gate shut; whoever passed it is waited for.
_GATE: Final = "hashtext('concordat.replay'), hashtext(:consumer)"
_PASS_GATE: Final = f"SELECT pg_try_advisory_xact_lock_shared({_GATE}) AS open"
PASS_GATE: Final = text(_PASS_GATE)
SHUT_GATE: Final = text(f"SELECT pg_advisory_xact_lock({_GATE})")
# All that is asked before a handler runs, in one round trip. The lock on the parked aggregate makes us wait for letters
# being replayed, and takes that row away at the end.
TAKE: Final = text(
    f"""
    WITH gate AS MATERIALIZED ({_PASS_GATE}),
    claimed AS ({_CLAIM} FROM gate WHERE open ON CONFLICT DO NOTHING RETURNING 1),
    parked AS (
      SELECT 1 FROM parked_key WHERE consumer = :consumer AND aggregate_id = :aggregate_id FOR SHARE),
    advanced AS (
      {_ADVANCE} WHERE EXISTS (SELECT FROM claimed) AND NOT EXISTS (SELECT FROM parked) {_UNLESS_OLD})
    SELECT (SELECT open FROM gate) AS open, EXISTS (SELECT FROM claimed) AS claimed,
           EXISTS (SELECT FROM parked) AS parked, ARRAY(SELECT projection FROM advanced) AS advanced,
           ({_BEFORE}) AS before
    """
)
CLAIM: Final = text(f"{_CLAIM} ON CONFLICT DO NOTHING RETURNING 1")
ADVANCE: Final = text(f"{_ADVANCE} WHERE true {_UNLESS_OLD}")
RECORD: Final = text(
    "UPDATE inbox SET outcome = :outcome WHERE consumer = :consumer AND event_id = :event_id"
)
PARK: Final = text(
    """
    INSERT INTO parked_key (consumer, aggregate_id, since) VALUES (:consumer, :aggregate_id, :now)
    ON CONFLICT DO NOTHING
    """
)
_UNKNOWN: Final = ""
SET_ASIDE: Final = text(
    """
    INSERT INTO dead_letter (id, consumer, event_id, event_type, aggregate_id, aggregate_version, topic, part, off,
                             key, headers, value, error_class, error, first_at, last_at, tries)
    SELECT :id, :consumer, :event_id, :event_type, :aggregate_id, :version, :topic, :part, :off,
           :key, CAST(:headers AS jsonb), :value, :error_class, :error, :first_at, :last_at, :tries
    WHERE NOT EXISTS (
      SELECT FROM dead_letter WHERE consumer = :consumer AND topic = :topic AND part = :part AND off = :off
                                AND value IS NOT DISTINCT FROM :value)
    """
)


@dataclass(frozen=True)
class Rejection:
    """Why and after how many tries a message is set aside."""

    failure: Failure
    error: str
    first_at: datetime
    last_at: datetime
    tries: int


class Inbox:
    """What one consumer has seen, and how it applies what is new. Its methods never commit."""

    def __init__(self, consumer: str, projections: Sequence[Projection]) -> None:
        self.consumer = consumer
        self.projections = {projection.name: projection for projection in projections}
        self._feeds = feeds(projections)
        self._wanted = {_UNKNOWN, *self._feeds}

    @property
    def handled(self) -> frozenset[type[Event]]:
        """The kinds of events this consumer applies; it ignores the others of its topics."""
        return frozenset(feed.cls for feed in self._feeds.values())

    def wants(self, message: Delivered) -> bool:
        """False when the headers name a kind of event nobody here handles: no effect, so nothing to do once."""
        return message.headers.get("event_type", _UNKNOWN) in self._wanted

    async def receive(self, session: AsyncSession, message: Delivered, now: datetime) -> Outcome:
        """Apply one delivered message. Raises what the handler raises, Poison, and Replaying; then roll back."""
        envelope = decode_envelope(message.value)
        feed = self._feeds.get(envelope.type)
        if feed is None:
            return await self._ignore(session, envelope, message)
        taken = await self._take(session, envelope, message, feed)
        if not taken.open:
            raise Replaying(f"the projections of {self.consumer} are being filled from the archives")
        if not taken.claimed:
            return Outcome.DUPLICATE
        if taken.parked:
            rejection = Rejection(Failure.PARKED, "behind an earlier event that was set aside", now, now, 0)
            await self._set_aside(session, envelope, message, rejection)
            return await self._record(session, envelope, Outcome.PARKED)
        self._count_gap(message, taken)
        if await self._apply(session, feed, taken.advanced, envelope):
            return Outcome.DONE
        return await self._record(session, envelope, Outcome.STALE)

    async def reject(self, session: AsyncSession, message: Delivered, rejection: Rejection) -> Outcome:
        """Set a message aside and park its aggregate, so that later events of it wait for an operator."""
        try:
            envelope = decode_envelope(message.value)
        except Poison:
            await self._set_aside(session, None, message, rejection)
            return Outcome.DEAD
        if not await self._claim(session, envelope, message, Outcome.DEAD):
            return Outcome.DUPLICATE
        await session.execute(PARK, self._key(envelope) | {"now": rejection.last_at})
        await self._set_aside(session, envelope, message, rejection)
        return Outcome.DEAD

    async def replay(self, session: AsyncSession, value: bytes | None) -> Outcome:
        """Apply a message that was set aside, whatever the inbox says about it."""
        envelope = decode_envelope(value)
        place = Delivered("", 0, 0, None, value, {})
        await self._claim(session, envelope, place, Outcome.DONE)
        return await self._record(session, envelope, await self._apply_again(session, envelope))

    async def passes_gate(self, session: AsyncSession) -> bool:
        """Whether no replay from the archives runs; until this transaction ends, none begins."""
        return bool(await session.scalar(PASS_GATE, {"consumer": self.consumer}))

    async def shut_gate(self, session: AsyncSession) -> None:
        """Let every other event of this consumer wait until this transaction ends."""
        await session.execute(SHUT_GATE, {"consumer": self.consumer})

    async def fill(self, session: AsyncSession, projections: Sequence[str], value: bytes) -> bool:
        """Let projections learn an archived event, whatever the inbox says about it; False when all know a later one."""
        envelope = decode_envelope(value)
        advanced = await self._advance(session, envelope, projections)
        return await self._apply(session, self._feeds[envelope.type], advanced, envelope)

    async def _ignore(self, session: AsyncSession, envelope: Envelope, message: Delivered) -> Outcome:
        claimed = await self._claim(session, envelope, message, Outcome.IGNORED)
        return Outcome.IGNORED if claimed else Outcome.DUPLICATE

    async def _take(
        self, session: AsyncSession, envelope: Envelope, message: Delivered, feed: Feed
    ) -> Row[Any]:
        about = self._claim_of(envelope, message, Outcome.DONE) | {"projections": list(feed.handlers)}
        return (await session.execute(TAKE, about)).one()

    async def _apply(
        self, session: AsyncSession, feed: Feed, advanced: Sequence[str], envelope: Envelope
    ) -> bool:
        """Run the handlers of the projections that have not seen a later version; False when all have."""
        received = decode_event(envelope, feed.cls)
        for name in advanced:
            await feed.handlers[name](session, received)
        await session.flush()
        return bool(advanced)

    async def _apply_again(self, session: AsyncSession, envelope: Envelope) -> Outcome:
        feed = self._feeds.get(envelope.type)
        if feed is None:
            return Outcome.IGNORED
        advanced = await self._advance(session, envelope, list(feed.handlers))
        return Outcome.DONE if await self._apply(session, feed, advanced, envelope) else Outcome.STALE

    async def _advance(
        self, session: AsyncSession, envelope: Envelope, projections: Sequence[str]
    ) -> list[str]:
        about = self._key(envelope) | {"version": envelope.sequence, "projections": list(projections)}
        return list((await session.execute(ADVANCE, about)).scalars())

    def _count_gap(self, message: Delivered, taken: Row[Any]) -> None:
        """Count an event that follows one of a type we handle, and that we never saw.

        An act without an event leaves a version that is never published, and types nobody handles leave no mark here: neither
        is a gap, so the version before proves nothing. The event says itself which one came before.
        """
        previous, type_ = message.headers.get("event_previous", ""), message.headers.get("event_previoustype")
        if not previous.isdecimal():
            return
        seen = (taken.before.get(name, 0) for name in taken.advanced if type_ in self.projections[name].types)
        if any(version < int(previous) for version in seen):
            GAPS.labels(self.consumer).inc()

    def _key(self, envelope: Envelope) -> dict[str, object]:
        return {"consumer": self.consumer, "aggregate_id": envelope.subject}

    async def _claim(
        self, session: AsyncSession, envelope: Envelope, message: Delivered, outcome: Outcome
    ) -> bool:
        """False when the event was seen before. A twin being handled elsewhere makes us wait for its end."""
        claimed = await session.execute(CLAIM, self._claim_of(envelope, message, outcome))
        return claimed.first() is not None

    def _claim_of(self, envelope: Envelope, message: Delivered, outcome: Outcome) -> dict[str, object]:
        event = {"event_id": envelope.id, "source": envelope.source, "version": envelope.sequence}
        return self._key(envelope) | _place(message) | event | {"outcome": outcome.value}

    async def _record(self, session: AsyncSession, envelope: Envelope, outcome: Outcome) -> Outcome:
        await session.execute(
            RECORD, {"consumer": self.consumer, "event_id": envelope.id, "outcome": outcome.value}
        )
        return outcome

    async def _set_aside(
        self, session: AsyncSession, envelope: Envelope | None, message: Delivered, rejection: Rejection
    ) -> None:
        identity: dict[str, UUID | str | int | None] = {
            "event_id": envelope.id if envelope else None,
            "event_type": envelope.type if envelope else None,
            "aggregate_id": envelope.subject if envelope else None,
            "version": envelope.sequence if envelope else None,
        }
        reason = {
            "error_class": rejection.failure.value,
            "error": storable(rejection.error)[:2000],
            "first_at": rejection.first_at,
            "last_at": rejection.last_at,
            "tries": rejection.tries,
        }
        content = {
            "id": uuid7(),
            "consumer": self.consumer,
            "key": message.key,
            "value": message.value,
            "headers": orjson.dumps({storable(k): storable(v) for k, v in message.headers.items()}).decode(),
        }
        await session.execute(SET_ASIDE, identity | reason | content | _place(message))


def _place(message: Delivered) -> dict[str, object]:
    return {"topic": message.topic, "part": message.partition, "off": message.offset}


def storable(value: str) -> str:
    """Text PostgreSQL takes: no NUL, no lone surrogates."""
    return value.replace("\0", "").encode(errors="replace").decode()
