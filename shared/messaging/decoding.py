"""From the bytes on the bus to a typed event."""

from typing import Final

import orjson
from pydantic import ValidationError

from shared.contracts.base import Envelope, Event, Received
from shared.messaging.failures import Permanent, Poison

LARGEST_VERSION: Final = 2**63 - 1


def decode_envelope(value: bytes | None) -> Envelope:
    """The CloudEvents context of a message. Raises Poison with the reason when there is none."""
    if value is None:
        raise Poison("the message has no value")
    try:
        envelope = Envelope.model_validate(orjson.loads(value))
    except orjson.JSONDecodeError as error:
        raise Poison(f"not JSON in UTF-8: {error}") from error
    except ValidationError as error:
        raise Poison(f"not one of our CloudEvents: {_reasons(error)}") from error
    if envelope.sequence > LARGEST_VERSION or any("\0" in text for text in (envelope.source, envelope.type)):
        raise Poison("the attributes cannot be stored")
    return envelope


def decode_event(envelope: Envelope, cls: type[Event]) -> Received[Event]:
    """The typed data. Raises Permanent when they do not fit the class."""
    try:
        return Received(envelope, cls.model_validate(envelope.data))
    except ValidationError as error:
        raise Permanent(f"the data do not fit {cls.TYPE}: {_reasons(error)}") from error


def _reasons(error: ValidationError) -> str:
    """Where and why, without the values: they may be confidential and the text ends up in logs."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()[:5])
