"""A transaction on the driver itself, for the routes whose cost is budgeted: few round trips and no unit of work.

It reads at once; what it writes is gathered and sent in one statement at the end, when the answer is known. Everything
else keeps to the `Session`: what a direct transaction has gathered, its own reads do not see.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from shared.data.claims import Claim
from shared.data.database_errors import DatabaseError, kind_of
from shared.data.session import (
    FIRST_ANSWER_SECONDS,
    Database,
    Identity,
    Versioned,
    columns_of,
    principal_of,
)
from shared.web.authz import NOBODY, Principal

_BEGIN_AS: Final = "SELECT member_id, org_id, roles, display_name, 1 AS claimed FROM begin_as($1, $2, $3)"
# The claim is made in the eyes that `begin_as` opens a moment before in the same statement. `claimed` is 0 for a
# request that came before: then its answer is stored, or it is still being worked on.
_BEGIN_AND_CLAIM: Final = """
    WITH who AS MATERIALIZED (SELECT * FROM begin_as($1, $2, $3)),
    claim AS (
      INSERT INTO idempotency (org_id, subject, route, key, fingerprint, created_at)
      SELECT coalesce((SELECT org_id FROM who), $4), $5, $6, $7, $8, $9
       WHERE (SELECT count(*) FROM who) > 0 OR $3
      ON CONFLICT DO NOTHING RETURNING 1)
    SELECT member_id, org_id, roles, display_name, (SELECT count(*) FROM claim) AS claimed
      FROM (SELECT) AS always LEFT JOIN who ON true
"""


@dataclass(frozen=True)
class Statement:
    """SQL and its parameters, numbered from `$2`: `$1` holds the gathered rows."""

    sql: str
    parameters: Sequence[object] = ()


NOTHING_MORE: Final = Statement("SELECT 1")


class Direct:
    """One caller's transaction. `is_repeated`: this request came before, under the same idempotency key."""

    def __init__(
        self, service: str, connection: asyncpg.Connection, principal: Principal, *, is_repeated: bool
    ) -> None:
        self._connection = connection
        self._gathered: dict[str, list[Mapping[str, object]]] = {}
        self.service = service
        self.principal = principal
        self.is_repeated = is_repeated
        self.wake_ups: set[str] = set()

    async def one(self, sql: str, *parameters: object) -> asyncpg.Record | None:
        """The first row, or None."""
        return await self._connection.fetchrow(sql, *parameters)

    async def all(self, sql: str, *parameters: object) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await self._connection.fetch(sql, *parameters)
        return rows

    def add(self, table: str, *rows: Mapping[str, object]) -> None:
        """Gather rows of a table. All rows of one table name the same columns; columns not named get their defaults."""
        self._gathered.setdefault(table, []).extend(rows)

    def add_new(self, row: Versioned) -> None:
        """Gather a row that was just made; what was not set has its default."""
        values = vars(row)
        columns = columns_of(type(row)).items()  # type: ignore[arg-type] # a class is hashable
        self.add(row.aggregate, {name: values[key] for key, name in columns if key in values})

    async def write(self, last: Statement = NOTHING_MORE) -> None:
        """Send what was gathered, and `last`, in one statement. Foreign keys among the rows are checked at its end."""
        shape = tuple((table, tuple(rows[0])) for table, rows in self._gathered.items())
        document = orjson.dumps(self._gathered, default=_written).decode() if shape else None
        given = (document, *last.parameters) if shape or last.parameters else ()
        await self._connection.execute(_statement(shape, last.sql), *given)
        self._gathered = {}


def _written(value: object) -> str:
    """What JSON has no form for, as PostgreSQL reads it."""
    match value:
        case Decimal():
            return format(value, "f")
        case UUID():  # the driver's own class
            return str(value)
        case bytes():
            return rf"\x{value.hex()}"
    raise TypeError(f"{type(value).__name__} does not belong in a row")


@lru_cache
def _statement(shape: tuple[tuple[str, tuple[str, ...]], ...], last: str) -> str:
    """One statement that fills the tables, in the order they were gathered in, from one JSON parameter.

    Columns are listed by name, so that a column a newer migration added keeps its default. Rows of a table are
    inserted in order: positions and sequence numbers are given out in it.
    """
    parts = [part for table, columns in shape for part in _PARTS.get(table, _filled)(table, columns)]
    return f"WITH {', '.join(parts)} {last}" if parts else last


def _filled(table: str, columns: Sequence[str]) -> Iterator[str]:
    names = _quoted(columns)
    yield f'"new_{table}" AS (INSERT INTO "{table}" ({names}) {_given(table, names)})'


def _queued(table: str, columns: Sequence[str]) -> Iterator[str]:
    """Events get their positions before they are inserted: callers may add events and not read them back."""
    names = _quoted(columns)
    yield (
        f"queued AS MATERIALIZED (SELECT *, nextval('event_position_seq') AS position"
        f" FROM ({_given(table, names)}) AS ordered)"
    )
    yield f"new_event AS (INSERT INTO event ({names}, position) SELECT {names}, position FROM queued)"


def _outbox(table: str, columns: Sequence[str]) -> Iterator[str]:
    """Each place in the queue is that of an event gathered before it."""
    yield (
        "new_outbox AS (INSERT INTO outbox (shard, position) SELECT place.shard, queued.position FROM queued"
        " JOIN jsonb_to_recordset(CAST($1 AS jsonb) -> 'outbox') AS place (event_id uuid, shard smallint)"
        " USING (event_id))"
    )


_PARTS: Final[Mapping[str, Callable[[str, Sequence[str]], Iterator[str]]]] = {
    "event": _queued,
    "outbox": _outbox,
}


def _given(table: str, names: str) -> str:
    """The rows of the parameter, in order."""
    return (
        f"""SELECT {names} FROM jsonb_populate_recordset(NULL::"{table}", CAST($1 AS jsonb) -> '{table}')"""
        " WITH ORDINALITY AS given ORDER BY given.ordinality"
    )


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


@asynccontextmanager
async def direct(
    database: Database, identity: Identity, claim: Claim | None, now: datetime
) -> AsyncIterator[Direct]:
    """A transaction in the eyes of one caller; with a `claim`, its key is claimed in the statement that opens it.

    The claim is the caller's organization's, whichever the claim itself names: the database knows the caller best.
    Nothing is written by itself: call `Direct.write` before the end.
    """
    connection = await _begun(database.engine)
    driver = _driver(connection)
    try:
        transaction = await _entered(database.schema, driver, identity, claim, now)
        yield transaction
        await driver.execute("COMMIT")
    except Exception:
        await _roll_back(driver)
        raise
    except BaseException:
        driver.terminate()  # cancelled in the middle of a statement: what the connection is at, nobody knows
        raise
    finally:
        _give_back(connection)
    for name in transaction.wake_ups:
        database.wake_ups[name].set()


async def _begun(engine: AsyncEngine) -> PoolProxiedConnection:
    """A connection with a transaction open. The pool does not learn what befell one that only the driver used.

    Until BEGIN is answered nothing is done, so a connection that ended in the pool costs no request.
    """
    for _ in range(_pool_size(engine) + 1):
        connection = await engine.raw_connection()
        driver = _driver(connection)
        try:
            async with asyncio.timeout(FIRST_ANSWER_SECONDS):  # a server that vanished stays silent for ever
                await driver.execute("BEGIN")
        except BaseException as error:
            driver.terminate()
            _give_back(connection)
            if kind_of(error) is not DatabaseError.UNAVAILABLE or isinstance(error, TimeoutError):
                raise
        else:
            return connection
    raise PoolTimeout("every connection of the pool has ended")


def _pool_size(engine: AsyncEngine) -> int:
    pool = engine.pool
    return pool.size() if isinstance(pool, QueuePool) else 0


def _driver(connection: PoolProxiedConnection) -> asyncpg.Connection:
    driver = connection.driver_connection
    assert driver is not None
    return driver


def _give_back(connection: PoolProxiedConnection) -> None:
    if _driver(connection).is_closed():
        connection.invalidate()
    connection.close()


async def _entered(
    service: str, driver: asyncpg.Connection, identity: Identity, claim: Claim | None, now: datetime
) -> Direct:
    who = (identity.issuer, identity.subject, identity.is_sysadmin)
    if claim is None:
        row = await driver.fetchrow(_BEGIN_AS, *who)
    else:
        key = (claim.subject, claim.route, claim.key, claim.fingerprint, now)
        row = await driver.fetchrow(_BEGIN_AND_CLAIM, *who, NOBODY, *key)
    principal = principal_of(row, identity)
    return Direct(service, driver, principal, is_repeated=row is not None and row["claimed"] == 0)


async def _roll_back(driver: asyncpg.Connection) -> None:
    try:
        async with asyncio.timeout(FIRST_ANSWER_SECONDS):
            await driver.execute("ROLLBACK")
    except Exception:
        driver.terminate()
