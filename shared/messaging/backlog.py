"""What waits, as gauges: events to publish, events to handle, messages set aside, audit rows to seal."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts import TOPICS
from shared.messaging.bus import Bus
from shared.messaging.consumer import ConsumerRunner
from shared.messaging.metrics import (
    DEAD_LETTERS,
    OLDEST_UNPUBLISHED,
    PARKED,
    TOPICS_MISSING,
    UNPUBLISHED,
    UNSEALED,
    show_lag,
)

log = structlog.get_logger()
EVERY: Final = timedelta(seconds=10)
ANSWER_SECONDS: Final = 3

WAITING_TO_PUBLISH: Final = """
    SELECT count(*) AS events,
           coalesce(extract(epoch FROM clock_timestamp() - min(written_at)), 0)::float8 AS seconds
      FROM outbox LEFT JOIN event USING (position)
"""
_SET_ASIDE: Final = text(
    """
    SELECT (SELECT count(*) FROM dead_letter WHERE state = 'new') AS letters,
           (SELECT count(*) FROM parked_key) AS parked
    """
)
_UNSEALED: Final = text(
    """
    SELECT coalesce(extract(epoch FROM :now - (SELECT at FROM audit WHERE seq IS NULL ORDER BY id LIMIT 1)), 0)::float8
    """
)


class Backlog:
    """Measures one service. Run it as a timer: it must not depend on the relay, whose trouble it shows."""

    def __init__(self, service: str, consumer: ConsumerRunner | None) -> None:
        self._service, self._consumer = service, consumer

    async def measure(self, session: AsyncSession, now: datetime) -> int:
        """Set the gauges; handles no rows."""
        waiting = (await session.execute(text(WAITING_TO_PUBLISH))).one()
        UNPUBLISHED.labels(self._service).set(waiting.events)
        OLDEST_UNPUBLISHED.labels(self._service).set(waiting.seconds)
        aside = (await session.execute(_SET_ASIDE)).one()
        DEAD_LETTERS.labels(self._service).set(aside.letters)
        PARKED.labels(self._service).set(aside.parked)
        UNSEALED.labels(self._service).set(await session.scalar(_UNSEALED, {"now": now}) or 0)
        if self._consumer is not None:
            show_lag(self._consumer.group, await self._consumer.waiting())
        return 0


class TopicWatch:
    """Asks the broker for the topics until all exist, and says which are missing."""

    def __init__(self, service: str, bus: Bus) -> None:
        self._service, self._bus = service, bus
        self._exist = False

    async def look(self, session: AsyncSession, now: datetime) -> int:
        """Set the gauge; a broker that does not answer is the business of `concordat_bus_connected`."""
        if self._exist:
            return 0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                missing = await self._bus.missing_topics(TOPICS)
        except Exception as error:
            log.warning("topics_unknown", error=type(error).__name__)
            return 0
        TOPICS_MISSING.labels(self._service).set(len(missing))
        if missing:
            log.error("topics_missing", topics=sorted(missing), do="run `concordat topics`")
        self._exist = not missing
        return 0
