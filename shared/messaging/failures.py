"""Why a message could not be handled, which decides what happens to it."""

from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from shared.data.database_errors import DatabaseError, kind_of
from shared.pure.refusal import Missing, NotYet, Refusal


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


_BY_DATABASE: Final = {
    DatabaseError.UNAVAILABLE: Failure.INFRASTRUCTURE,
    DatabaseError.CANCELLED: Failure.TRANSIENT,
    DatabaseError.UNFIT: Failure.PERMANENT,
    DatabaseError.CLASH: Failure.BUG,
    DatabaseError.BUG: Failure.BUG,
}


def classify(error: Exception) -> Failure:
    """The class of an error: what a rule said, else what the database said, else a bug."""
    match error:
        case Transient() | Missing() | NotYet():
            # What an event refers to may come with another one, over another partition.
            return Failure.TRANSIENT
        case Permanent() | Refusal() | ValidationError():
            return Failure.PERMANENT
    kind = kind_of(error)
    return Failure.BUG if kind is None else _BY_DATABASE[kind]
