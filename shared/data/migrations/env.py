"""Alembic's entry point for every schema: online only, one schema at a time (`revisions.upgrade` runs it)."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from shared.data.migrations.revisions import refuse_unknown


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=True)
    refuse_unknown(context.get_context(), context.script)
    with context.begin_transaction():
        context.run_migrations()


async def online() -> None:
    url, schema = (context.config.attributes[name] for name in ("url", "schema"))
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1),
        poolclass=pool.NullPool,
        connect_args={"server_settings": {"search_path": schema}},
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(online())
