"""Roles and schemas in a database, before any table is made."""

from collections.abc import Iterable

import asyncpg

from shared.data.tables.messaging import BUS

BUS_ROLE = "concordat_bus"
ARCHIVE_ROLE = "concordat_archive"
"""Reads the services' events, and nothing else: `bus replay` feeds a consumer from them."""


def owner_role(service: str) -> str:
    return f"concordat_{service}_owner"


def runtime_role(service: str) -> str:
    return f"concordat_{service}"


def role_names(services: Iterable[str]) -> list[str]:
    """Every role that logs in: the bus's, the archives' reader, and each service's owner and runtime role."""
    return [
        BUS_ROLE,
        ARCHIVE_ROLE,
        *(role(service) for service in services for role in (owner_role, runtime_role)),
    ]


async def provision(admin_url: str, passwords: dict[str, str], services: Iterable[str]) -> None:
    """Create roles, schemas and the bus tables where they are missing. Safe to repeat.

    `passwords` maps every role name to its password. `admin_url` must be able to create roles.
    """
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('concordat.provision'))")
            await _role(connection, ARCHIVE_ROLE, passwords[ARCHIVE_ROLE])
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
        f'GRANT USAGE ON SCHEMA "{service}" TO "{runtime}", "{ARCHIVE_ROLE}"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{service}"'
        f' GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO "{runtime}"',
        f'ALTER DEFAULT PRIVILEGES FOR ROLE "{owner}" IN SCHEMA "{service}"'
        f' GRANT USAGE, SELECT ON SEQUENCES TO "{runtime}"',
    ):
        await connection.execute(statement)


async def _provision_bus(connection: asyncpg.Connection, password: str) -> None:
    await _role(connection, BUS_ROLE, password)
    if await connection.fetchval("SELECT to_regclass('bus.bus_partition') IS NULL"):
        for statement in BUS:
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
