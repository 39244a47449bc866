"""What an error of the database means, read once from its SQLSTATE (PostgreSQL, appendix A).

Both edges ask here: HTTP to choose a status, the consumer to choose between waiting and setting aside.
"""

import asyncio
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

import asyncpg
from asyncpg.exceptions import _base as driver
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.pure.refusal import Refusal


class DatabaseError(StrEnum):
    """The kinds an error falls into."""

    CLASH = "clash"
    """Something exists already, or is still referred to: the data of two requests do not go together."""
    UNFIT = "unfit"
    """A value that cannot be stored: out of range, or of no character the database knows."""
    UNAVAILABLE = "unavailable"
    """The database is away, busy or shutting down; nothing is wrong with the request."""
    CANCELLED = "cancelled"
    """The statement took too long."""
    BUG = "bug"
    """The program asked for what the schema or row-level security forbids."""


# Connection, resources, rollback by concurrency, shutdown, system, lock time-out, read-only standby, idle time-out.
_UNAVAILABLE: Final = ("08", "53", "57P", "40", "58", "55P03", "25006", "25P03")
_FOREIGN_KEY: Final = "23503"
_CLASH: Final = ("23505", "23P01", _FOREIGN_KEY, "23001")
_CANCELLED: Final = ("57014",)
_UNFIT: Final = ("22",)
_KINDS: Final = (
    (_UNAVAILABLE, DatabaseError.UNAVAILABLE),
    (_CLASH, DatabaseError.CLASH),
    (_CANCELLED, DatabaseError.CANCELLED),
    (_UNFIT, DatabaseError.UNFIT),
)
UNREACHABLE: Final = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    asyncio.IncompleteReadError,
    asyncpg.InternalClientError,
    # A schema changed under a prepared statement: the driver has forgotten it, the next try prepares it anew.
    asyncpg.exceptions.InvalidCachedStatementError,
    PoolTimeout,
)


def kind_of(error: BaseException) -> DatabaseError | None:
    """The kind of an error, looking through the wrappers of SQLAlchemy; None when no database is behind it."""
    causes = list(_causes(error))
    if any(isinstance(cause, UNREACHABLE) or _was_cut(cause) for cause in causes):
        return DatabaseError.UNAVAILABLE
    # What the driver refuses to encode never reaches the server, so it has no state.
    if any(isinstance(cause, driver.DataError) for cause in causes):
        return DatabaseError.UNFIT
    state = _state(causes)
    if state is not None:
        return next((kind for states, kind in _KINDS if state.startswith(states)), DatabaseError.BUG)
    if any(isinstance(cause, asyncpg.InterfaceError) for cause in causes):
        return DatabaseError.UNAVAILABLE  # the connection ended while it was being used
    return DatabaseError.BUG if isinstance(error, DBAPIError | asyncpg.PostgresError) else None


def breaks_reference(error: BaseException) -> bool:
    """Whether a row was refused because what it refers to does not exist."""
    return _state(list(_causes(error))) == _FOREIGN_KEY


@contextmanager
def refusing(clashes: Mapping[str, Refusal]) -> Iterator[None]:
    """Turn a clash with one of these constraints into the refusal it stands for; only the database sees all rows."""
    try:
        yield
    except DBAPIError as error:
        broken = [str(getattr(cause, "constraint_name", "")) for cause in _causes(error)]
        for name in broken:
            if name in clashes:
                raise clashes[name] from None
        raise


def _state(causes: Sequence[BaseException]) -> str | None:
    return next((s for cause in causes if isinstance(s := getattr(cause, "sqlstate", None), str)), None)


def _was_cut(cause: BaseException) -> bool:
    return isinstance(cause, DBAPIError) and cause.connection_invalidated


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and, for a database error, what the driver raised underneath."""
    while error is not None:
        yield error
        original = error.orig if isinstance(error, DBAPIError) else None
        error = original if original is not None else error.__cause__
