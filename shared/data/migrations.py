"""Schemas, roles and migrations: one schema, one owner role and one runtime role per service.

The owner runs migrations and owns the tables; the runtime role owns nothing and cannot switch
row-level security off.
"""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import asyncpg
from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, pool
from sqlalchemy.ext.asyncio import create_async_engine

from shared.data.tables.kernel import AUDIT_GUARDS_V1, KERNEL_V1, KERNEL_V2, ROW_SECURITY_V1
from shared.data.tables.messaging import BUS_V1, MESSAGING_V1

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("charter", "sla", "changes", "notifier")
BUS_ROLE = "concordat_bus"


class Operations(Protocol):
    """The part of `alembic.op` we use."""

    def execute(self, sqltext: str) -> None: ...


def owner_role(service: str) -> str:
    return f"concordat_{service}_owner"


def runtime_role(service: str) -> str:
    return f"concordat_{service}"


def role_names() -> list[str]:
    """Every role that logs in: the bus's, and each service's owner and runtime role."""
    return [BUS_ROLE, *(role(service) for service in SERVICES for role in (owner_role, runtime_role))]


def kernel_v1(op: Operations) -> None:
    """The kernel's tables and row-level security, as the first migration of every service creates them."""
    for statement in (*KERNEL_V1, *AUDIT_GUARDS_V1, *MESSAGING_V1, *ROW_SECURITY_V1):
        op.execute(statement)
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON audit, audit_checkpoint FROM PUBLIC")
    op.execute(
        """
        DO $$ DECLARE runtime text := 'concordat_' || current_schema();
        BEGIN
          IF EXISTS (SELECT FROM pg_roles WHERE rolname = runtime) THEN
            EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit, audit_checkpoint FROM %I', runtime);
            EXECUTE format('GRANT UPDATE (seq, hash) ON audit TO %I', runtime);
          END IF;
        END $$
        """
    )


def kernel_v2(op: Operations) -> None:
    """Who sees whose people, and an organization's own audit chain."""
    for statement in KERNEL_V2:
        op.execute(statement)


def govern(op: Operations, table: str) -> None:
    """Row-level security of a governed table: both parties, or the one the row is for; observers read."""
    visible = (
        "(app_org() = customer_org_id AND visibility <> 'provider')"
        " OR (app_org() = provider_org_id AND visibility <> 'customer')"
    )
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY party ON {table}"
        f" USING (app_is('system') OR {visible} OR (visibility = 'shared' AND app_observes(charter_id)))"
        f" WITH CHECK (app_is('system') OR {visible})"
    )


def org_scoped(op: Operations, table: str) -> None:
    """Row-level security of a table whose rows belong to one organization alone."""
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY own ON {table} USING (app_is('system') OR org_id = app_org())")


def run_env(schema: str, metadata: MetaData) -> None:
    """The body of every service's `env.py`: online only, one schema, types compared."""

    def migrate(connection: Connection) -> None:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            compare_type=True,
            compare_server_default=False,
            version_table="alembic_version",
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()

    async def online() -> None:
        url = (
            context.config.get_main_option("sqlalchemy.url") or os.environ[f"{schema.upper()}_MIGRATION_URL"]
        )
        engine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://", 1),
            poolclass=pool.NullPool,
            connect_args={"server_settings": {"search_path": schema}},
        )
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
        await engine.dispose()

    existing = context.config.attributes.get("connection")
    if existing is not None:
        migrate(existing)
    else:
        asyncio.run(online())


def alembic_config(service: str, url: str) -> Config:
    """Alembic's configuration of one service, for a database the owner role reaches by `url`."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "services" / service / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def upgrade(service: str, url: str) -> None:
    """Bring one service's schema to its newest revision (blocking; call it outside the event loop)."""
    command.upgrade(alembic_config(service, url), "head")


async def provision(admin_url: str, passwords: dict[str, str], services: Iterable[str] = SERVICES) -> None:
    """Create roles, schemas and the bus tables where they are missing. Safe to repeat.

    `passwords` maps every role name to its password. `admin_url` must be able to create roles.
    """
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('concordat.provision'))")
            for service in services:
                await _provision_service(connection, service, passwords)
            await _provision_bus(connection, passwords[BUS_ROLE])
    finally:
        await connection.close()


async def _role(connection: asyncpg.Connection, name: str, password: str) -> None:
    exists = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
    verb = "ALTER" if exists else "CREATE"
    quoted = await connection.fetchval("SELECT quote_literal($1)", password)
    await connection.execute(f'{verb} ROLE "{name}" LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD {quoted}')


async def _provision_service(connection: asyncpg.Connection, service: str, passwords: dict[str, str]) -> None:
    owner, runtime = owner_role(service), runtime_role(service)
    await _role(connection, owner, passwords[owner])
    await _role(connection, runtime, passwords[runtime])
    await connection.execute(f'GRANT "{owner}" TO CURRENT_USER')
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{service}" AUTHORIZATION "{owner}"')
    for statement in (
        f'GRANT USAGE ON SCHEMA "{service}" TO "{runtime}"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{service}"'
        f' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{runtime}"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{service}"'
        f' GRANT USAGE, SELECT ON SEQUENCES TO "{runtime}"',
    ):
        await connection.execute(statement)


async def _provision_bus(connection: asyncpg.Connection, password: str) -> None:
    await _role(connection, BUS_ROLE, password)
    if await connection.fetchval("SELECT to_regclass('bus.bus_lane') IS NULL"):
        for statement in BUS_V1:
            await connection.execute(statement)
    for statement in (
        f'GRANT USAGE ON SCHEMA bus TO "{BUS_ROLE}"',
        f'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bus TO "{BUS_ROLE}"',
    ):
        await connection.execute(statement)


async def refuse_powerful_role(connection: asyncpg.Connection) -> None:
    """Startup check: the runtime role must not be able to look past row-level security."""
    row = await connection.fetchrow(
        """
        SELECT r.rolsuper, r.rolbypassrls,
               EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid AND c.relnamespace = to_regnamespace(current_schema())) AS owns
          FROM pg_roles r WHERE r.rolname = current_user
        """
    )
    if row["rolsuper"] or row["rolbypassrls"] or row["owns"]:
        raise RuntimeError(
            "the runtime database role is superuser, bypasses row-level security or owns tables; "
            "use the role that `concordat migrate` created for this service"
        )
