"""Which revisions a schema has and needs: the kernel's on a branch of their own, the service's on another."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData

HERE = Path(__file__).parent
NOT_RELEASED = (
    "the tables are from before the first release and cannot be upgraded: start on an empty database"
)


class UnknownSchema(RuntimeError):
    """The schema's revision is one this program does not know: nothing here can upgrade it."""


class OldSchema(RuntimeError):
    """The schema lacks what this program needs; the message names it and the command that brings it."""

    def __init__(self, schema: str, lacking: list[str], remedy: str) -> None:
        super().__init__(f"the schema {schema!r} of the database lacks {', '.join(lacking[:5])}; {remedy}")


def upgrade(schema: str, url: str, versions: Path | None = None) -> None:
    """Bring one schema to the newest revisions of the kernel and of the folder `versions`.

    `url` reaches the database as the schema's owner. Blocking: call it outside the event loop.
    Raises `UnknownSchema`.
    """
    config = _config(versions)
    config.attributes |= {"url": url, "schema": schema}
    command.upgrade(config, "heads")


def _config(versions: Path | None) -> Config:
    folders = [HERE / "versions", *([versions] if versions else [])]
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, folders)))
    return config


def refuse_unknown(context: MigrationContext, script: ScriptDirectory) -> None:
    """Raises `UnknownSchema` before anything is changed."""
    unknown = set(context.get_current_heads()) - _known(script)
    if unknown:
        raise UnknownSchema(
            f"the tables were made by another version of this program (revision {', '.join(sorted(unknown))}); "
            "if that is a later version, run that one; otherwise " + NOT_RELEASED
        )


def _known(script: ScriptDirectory) -> set[str]:
    return {revision.revision for revision in script.walk_revisions()}


async def refuse_old_schema(
    connection: asyncpg.Connection, schema: str, metadata: MetaData, versions: Path | None = None
) -> None:
    """Startup check: every revision this program needs was run, and every column is there. Raises `OldSchema`.

    A schema that a later version has migrated passes as long as the columns are there: a service may be
    rolled back without its database.
    """
    if lacking := await _revisions_lacking(connection, versions):
        raise OldSchema(schema, lacking, "run `concordat migrate`, then start again")
    if lacking := await _parts_lacking(connection, metadata):
        raise OldSchema(schema, lacking, "run `concordat migrate`; if that changes nothing, " + NOT_RELEASED)


async def _revisions_lacking(connection: asyncpg.Connection, versions: Path | None) -> list[str]:
    script = ScriptDirectory.from_config(_config(versions))
    if await connection.fetchval("SELECT to_regclass('alembic_version') IS NULL"):
        return script.get_heads()
    stamps = {row["version_num"] for row in await connection.fetch("SELECT version_num FROM alembic_version")}
    if not stamps <= _known(script):
        return []
    applied = {revision.revision for revision in script.get_all_current(tuple(stamps))}
    return [head for head in script.get_heads() if head not in applied]


async def _parts_lacking(connection: asyncpg.Connection, metadata: MetaData) -> list[str]:
    rows = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema()"
    )
    columns = {(row["table_name"], row["column_name"]) for row in rows}
    tables = {table for table, _ in columns}
    return [f"the table {table}" for table in metadata.tables if table not in tables] + [
        f"the column {table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if table.name in tables and (table.name, column.name) not in columns
    ]
