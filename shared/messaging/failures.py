"""Why a message could not be handled, which decides what happens to it."""

import asyncio
import socket
from collections.abc import Iterator
from enum import StrEnum
from typing import Final

import asyncpg
from asyncpg.exceptions import _base as driver
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.pure.refusal import Refusal


class Failure(StrEnum):
    """The four answers to an error, plus the place in the queue behind one."""

    INFRASTRUCTURE = "infrastructure"
    """Nothing is wrong with the message: try again for ever."""
    TRANSIENT = "transient"
    """It may work later: try again for a while."""
    PERMANENT = "permanent"
    """It will never work: set it aside at once."""
    BUG = "bug"
    """Unexpected: a few tries, then set it aside and tell somebody."""
    PARKED = "parked"
    """Behind an earlier event of its aggregate that was set aside."""


class Transient(Exception):
    """Raised by a handler whose prerequisite is missing for now, such as an event of another service."""


class Permanent(Exception):
    """Raised by a handler for an event that it can never apply."""


class Poison(Permanent):
    """The message is not an event of ours at all."""


UNREACHABLE: Final = (
    ConnectionError,
    TimeoutError,
    socket.gaierror,
    asyncio.IncompleteReadError,
    asyncpg.InternalClientError,
)
# What the driver refuses to encode never reaches the server, so it has no state.
UNSTORABLE: Final = (driver.DataError,)
# PostgreSQL: connection, resources, rollback by concurrency, shutdown, system, lock time-out, read-only standby.
UNAVAILABLE: Final = ("08", "53", "57P", "40", "58", "55P03", "25006")
CANCELLED: Final = "57014"
BAD_DATA: Final = "22"


def classify(error: Exception) -> Failure:
    """The class of an error, looking through the wrappers of SQLAlchemy at what the database said."""
    match error:
        case Permanent() | Refusal() | ValidationError():
            return Failure.PERMANENT
        case Transient():
            return Failure.TRANSIENT
        case DBAPIError(connection_invalidated=True) | PoolTimeout():
            return Failure.INFRASTRUCTURE
    causes = list(_causes(error))
    if any(isinstance(cause, UNREACHABLE) for cause in causes):
        return Failure.INFRASTRUCTURE
    if any(isinstance(cause, UNSTORABLE) for cause in causes):
        return Failure.PERMANENT
    return _by_state(next((s for e in causes if isinstance(s := getattr(e, "sqlstate", None), str)), ""))


def _by_state(state: str) -> Failure:
    if state == CANCELLED:
        return Failure.TRANSIENT
    if state.startswith(UNAVAILABLE):
        return Failure.INFRASTRUCTURE
    return Failure.PERMANENT if state.startswith(BAD_DATA) else Failure.BUG


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and, for a database error, what the driver raised underneath."""
    while error is not None:
        yield error
        original = error.orig if isinstance(error, DBAPIError) else None
        error = original if original is not None else error.__cause__
