"""Why a message could not be handled, which decides what happens to it."""

from enum import StrEnum
from typing import Final

from pydantic import ValidationError
from sqlalchemy.exc import NoResultFound

from shared.data.database_errors import DatabaseError, breaks_reference, kind_of
from shared.pure.refusal import Missing, NotYet, Refusal


class Failure(StrEnum):
    """The answers to an error, plus the place in the queue behind one."""

    INFRASTRUCTURE = "infrastructure"
    """Nothing is wrong with the message: try again for ever."""
    REPLAYING = "replaying"
    """The projections are being filled from the archives: wait for the end of that."""
    NOT_YET = "not_yet"
    """What it refers to has not arrived: wait for that for a while, in order."""
    TRANSIENT = "transient"
    """It may work later: try again for a while."""
    PERMANENT = "permanent"
    """It will never work: set it aside at once."""
    BUG = "bug"
    """Unexpected: a few tries, then set it aside and tell somebody."""
    PARKED = "parked"
    """Behind an earlier event of its aggregate that was set aside."""


class Replaying(Exception):
    """Raised while a replay holds this consumer's events back."""


class Transient(Exception):
    """Raised for what hinders this message for now, such as a handler that took too long."""


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
        case Replaying():
            return Failure.REPLAYING
        case NotYet() | Missing() | NoResultFound():
            # What an event refers to may come with another one, over another partition.
            return Failure.NOT_YET
        case Transient():
            return Failure.TRANSIENT
        case Permanent() | Refusal() | ValidationError():
            return Failure.PERMANENT
    if breaks_reference(error):
        return Failure.NOT_YET
    kind = kind_of(error)
    return Failure.BUG if kind is None else _BY_DATABASE[kind]
