"""One message in one transaction: inbox row, version guard, effects and outgoing events, or none of them."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Envelope, Event, Received, Registry
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered
from shared.messaging.decoding import decode_envelope, decode_event
from shared.messaging.failures import Failure, Poison
from shared.messaging.metrics import GAPS

Handler = Callable[[AsyncSession, Received[Any]], Awaitable[None]]
SessionFactory = Callable[[], AbstractAsyncContextManager[AsyncSession]]


class Outcome(StrEnum):
    DONE = "done"
    STALE = "stale"
    PARKED = "parked"
    DEAD = "dead"
    IGNORED = "ignored"
    DUPLICATE = "duplicate"


CLAIM: Final = text(
    """
    INSERT INTO inbox (consumer, event_id, source, aggregate_id, aggregate_version, topic, part, off, outcome)
    VALUES (:consumer, :event_id, :source, :aggregate_id, :version, :topic, :part, :off, :outcome)
    ON CONFLICT DO NOTHING RETURNING 1
    """
)
RECORD: Final = text(
    "UPDATE inbox SET outcome = :outcome WHERE consumer = :consumer AND event_id = :event_id"
)
_UNKNOWN: Final = ""
# The lock makes us wait for a replay in progress: it takes the row away when nothing is left to replay.
IS_PARKED: Final = text(
    "SELECT 1 FROM parked_key WHERE consumer = :consumer AND aggregate_id = :aggregate_id FOR SHARE"
)
PARK: Final = text(
    """
    INSERT INTO parked_key (consumer, aggregate_id, since) VALUES (:consumer, :aggregate_id, :now)
    ON CONFLICT DO NOTHING
    """
)
ADVANCE: Final = text(
    """
    WITH before AS (SELECT version FROM consumed_version WHERE consumer = :consumer AND aggregate_id = :aggregate_id)
    INSERT INTO consumed_version AS seen (consumer, aggregate_id, version)
    VALUES (:consumer, :aggregate_id, :version)
    ON CONFLICT (consumer, aggregate_id) DO UPDATE SET version = EXCLUDED.version WHERE seen.version < EXCLUDED.version
    RETURNING coalesce((SELECT version FROM before), 0)
    """
)
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

    def __init__(self, consumer: str, registry: Registry, handlers: Mapping[type[Event], Handler]) -> None:
        self.consumer = consumer
        self._registry = registry
        self._handlers = handlers
        self._types = {_UNKNOWN, *(cls.TYPE for cls in handlers)}

    @property
    def handled(self) -> frozenset[type[Event]]:
        """The kinds of events this consumer applies; it ignores the others of its topics."""
        return frozenset(self._handlers)

    def wants(self, message: Delivered) -> bool:
        """False when the headers name a kind of event nobody here handles: no effect, so nothing to do once."""
        return message.headers.get("event_type", _UNKNOWN) in self._types

    async def receive(self, session: AsyncSession, message: Delivered, now: datetime) -> Outcome:
        """Apply one delivered message. Raises what the handler raises, and Poison; then roll back."""
        envelope = decode_envelope(message.value)
        first = Outcome.DONE if self._handler(envelope) else Outcome.IGNORED
        if not await self._claim(session, envelope, message, first):
            return Outcome.DUPLICATE
        if first is Outcome.IGNORED:
            return first
        if (await session.execute(IS_PARKED, self._key(envelope))).first():
            rejection = Rejection(Failure.PARKED, "behind an earlier event that was set aside", now, now, 0)
            await self._set_aside(session, envelope, message, rejection)
            return await self._record(session, envelope, Outcome.PARKED)
        outcome = await self._apply(session, envelope)
        return outcome if outcome is Outcome.DONE else await self._record(session, envelope, outcome)

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
        return await self._record(session, envelope, await self._apply(session, envelope))

    def _handler(self, envelope: Envelope) -> tuple[type[Event], Handler] | None:
        cls = self._registry.get(envelope.type)
        handler = self._handlers.get(cls) if cls else None
        return (cls, handler) if cls and handler else None

    async def _apply(self, session: AsyncSession, envelope: Envelope) -> Outcome:
        """Run the handler, unless there is none or a later version was applied already."""
        found = self._handler(envelope)
        if found is None:
            return Outcome.IGNORED
        cls, handler = found
        received = decode_event(envelope, cls)
        advanced = await session.execute(ADVANCE, self._key(envelope) | {"version": envelope.sequence})
        before = advanced.scalar_one_or_none()
        if before is None:
            return Outcome.STALE
        if envelope.sequence > before + 1:
            GAPS.labels(self.consumer).inc()
        await handler(session, received)
        await session.flush()
        return Outcome.DONE

    def _key(self, envelope: Envelope) -> dict[str, object]:
        return {"consumer": self.consumer, "aggregate_id": envelope.subject}

    async def _claim(
        self, session: AsyncSession, envelope: Envelope, message: Delivered, outcome: Outcome
    ) -> bool:
        """False when the event was seen before. A twin being handled elsewhere makes us wait for its end."""
        claimed = await session.execute(
            CLAIM,
            self._key(envelope)
            | _place(message)
            | {
                "event_id": envelope.id,
                "source": envelope.source,
                "version": envelope.sequence,
                "outcome": outcome.value,
            },
        )
        return claimed.first() is not None

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
