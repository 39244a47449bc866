"""Keeps the messaging tables small: what was processed long ago goes. Events stay."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from shared.messaging.connection import LOST, Connection, connect

log = logging.getLogger(__name__)

# Longer than the topics keep their messages and than a dead letter may wait, or a duplicate would act twice.
KEEP_INBOX: Final = timedelta(days=30)
BATCH: Final = 5000

DELETE_PROCESSED: Final = """
    DELETE FROM inbox WHERE (consumer, event_id) IN (
      SELECT consumer, event_id FROM inbox WHERE processed_at < clock_timestamp() - $1::interval
      LIMIT $2 FOR UPDATE SKIP LOCKED)
"""


async def delete_processed(
    connection: Connection, older_than: timedelta = KEEP_INBOX, batch: int = BATCH
) -> int:
    """Delete old inbox rows in transactions of at most `batch`; returns how many."""
    return await _delete(connection, DELETE_PROCESSED, older_than, batch)


async def janitor(
    url: str, *, service: str, schema: str | None = None, every: timedelta = timedelta(hours=1)
) -> None:
    """Clean up now and `every` so often, until cancelled."""
    while True:
        try:
            connection = await connect(url, f"janitor-{service}", schema)
            try:
                await delete_processed(connection)
            finally:
                await connection.close(timeout=5)
        except LOST:
            log.warning("%s: the clean-up waits for its next turn", service, exc_info=True)
        await asyncio.sleep(every.total_seconds())


async def _delete(connection: Connection, statement: str, older_than: timedelta, batch: int) -> int:
    total = deleted = batch
    total = 0
    while deleted == batch:
        deleted = int((await connection.execute(statement, older_than, batch)).split()[-1])
        total += deleted
    return total
