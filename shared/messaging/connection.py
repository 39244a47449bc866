"""A database connection of the messaging's own: bounded in every direction, outside any pool."""

from typing import Any, Final

import asyncpg
import orjson

Connection = Any
"""An asyncpg connection; asyncpg ships no types."""

LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a database that is going away, gone or coming back raises."""

# A process that was paused keeps its locks until the server ends its transaction,
# so the first of these is also the time another one waits before it takes over.
TIMEOUTS: Final = {
    "idle_in_transaction_session_timeout": "45s",
    # The same for a process paused half-way through preparing a statement, which to the server is not idle.
    "transaction_timeout": "60s",
    "statement_timeout": "20s",
    "lock_timeout": "5s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    # Relay and janitor work for every organization: row-level security shows the outbox to the service only.
    "app.scope": "system",
}


async def connect(url: str, application: str, schema: str | None = None, **settings: str) -> Connection:
    """Open one connection. `schema` becomes its search_path, `settings` override the time-outs."""
    options = TIMEOUTS | {"application_name": application[:63]} | settings
    longest = options.pop("transaction_timeout")
    if schema is not None:
        options["search_path"] = schema
    connection = await asyncpg.connect(
        url.replace("postgresql+asyncpg://", "postgresql://", 1),
        server_settings=options,
        timeout=10,
        command_timeout=30,
    )
    if connection.get_server_version().major >= 17:
        await connection.execute("SELECT set_config('transaction_timeout', $1, false)", longest)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_encode, decoder=orjson.loads)
    return connection


def _encode(value: object) -> str:
    return orjson.dumps(value).decode()
