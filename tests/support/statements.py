"""What is sent to the database: every statement of a service's pool, in order, BEGIN and COMMIT among them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event

from tests.support.harness import RunningService


@asynccontextmanager
async def statements_of(service: RunningService) -> AsyncIterator[list[str]]:
    """A list that fills with the first word of each statement; clear it where counting begins, after `settled`."""
    sent: list[str] = []
    engine = service.kernel.database.engine

    def listen(connection: Any, record: object) -> None:
        connection.driver_connection.add_query_logger(lambda query: sent.append(query.query.split()[0]))

    event.listen(engine.sync_engine, "connect", listen)
    await engine.dispose()
    yield sent
    event.remove(engine.sync_engine, "connect", listen)
    await engine.dispose()


async def settled() -> None:
    """The driver tells its loggers in the next round of the loop."""
    await asyncio.sleep(0)
