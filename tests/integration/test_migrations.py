"""Each service's migrations produce exactly what its models say, with row-level security everywhere."""

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from services.registry import SERVICES, metadata_of
from shared.data import migrations
from tests.support.harness import PASSWORD, template_database
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.guard

OPEN_TABLES = {"alembic_version"}


async def _differences(url: str, schema: str, metadata: MetaData) -> list[object]:
    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [*compare_metadata(context, metadata), *_other_keys(connection, metadata)]

    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://"),
        connect_args={"server_settings": {"search_path": schema}},
    )
    async with engine.connect() as connection:
        differences = await connection.run_sync(compare)
    await engine.dispose()
    return differences


def _other_keys(connection: Connection, metadata: MetaData) -> list[object]:
    """The tables whose primary key is not the model's, which Alembic does not compare."""
    database = inspect(connection)
    keys = {
        table.name: (database.get_pk_constraint(table.name)["constrained_columns"], table.primary_key.columns)
        for table in metadata.tables.values()
        if database.has_table(table.name)
    }
    return [
        f"{name} has the primary key {made}, its model has {wanted.keys()}"
        for name, (made, wanted) in keys.items()
        if made != wanted.keys()
    ]


@pytest.mark.parametrize("service", SERVICES)
async def test_models_and_migrations_agree(postgres: PostgresServer, service: str) -> None:
    template = await template_database(postgres)
    metadata = metadata_of(service)
    async with postgres.database("drift", template) as url:
        owner = postgres.url(url.rpartition("/")[2], migrations.owner_role(service), PASSWORD)
        assert await _differences(owner, service, metadata) == []


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        ("ALTER TABLE charter.organization DROP COLUMN aid", "aid"),
        (
            "ALTER TABLE charter.organization DROP CONSTRAINT pk_organization",
            "organization has the primary key []",
        ),
    ],
)
async def test_what_is_missing_is_noticed(postgres: PostgresServer, change: str, noticed: str) -> None:
    template = await template_database(postgres)
    metadata = metadata_of("charter")
    async with postgres.database("drift", template) as url:
        owner = postgres.url(url.rpartition("/")[2], migrations.owner_role("charter"), PASSWORD)
        connection = await asyncpg.connect(owner)
        await connection.execute(change)
        await connection.close()
        assert noticed in str(await _differences(owner, "charter", metadata))


@pytest.mark.parametrize("service", SERVICES)
async def test_every_table_has_row_level_security(postgres: PostgresServer, service: str) -> None:
    template = await template_database(postgres)
    async with postgres.database("rls", template) as url:
        connection = await asyncpg.connect(url)
        rows = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind = 'r' AND NOT relrowsecurity",
            service,
        )
        await connection.close()
    assert {row["relname"] for row in rows} == OPEN_TABLES


@pytest.mark.parametrize("service", SERVICES)
async def test_the_runtime_role_is_weak_and_the_owner_would_be_refused(
    postgres: PostgresServer, service: str
) -> None:
    template = await template_database(postgres)
    async with postgres.database("role", template) as url:
        database = url.rpartition("/")[2]
        for role, refused in (
            (migrations.runtime_role(service), False),
            (migrations.owner_role(service), True),
        ):
            connection = await asyncpg.connect(
                postgres.url(database, role, PASSWORD), server_settings={"search_path": service}
            )
            try:
                if refused:
                    with pytest.raises(RuntimeError, match="owns tables"):
                        await migrations.refuse_powerful_role(connection)
                else:
                    await migrations.refuse_powerful_role(connection)
            finally:
                await connection.close()


async def test_provisioning_twice_changes_nothing(postgres: PostgresServer) -> None:
    from tests.support.harness import passwords

    template = await template_database(postgres)
    async with postgres.database("twice", template) as url:
        await migrations.provision(url, passwords(), SERVICES)
