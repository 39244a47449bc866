"""One text, and so one hash, per content: JSON by RFC 8785, with our value kinds written as strings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import partial
from hashlib import sha256
from types import NoneType
from typing import Any
from uuid import UUID

import orjson

_LARGEST_EXACT = 2**53 - 1
_MOST_DIGITS = 1000


def canonical_json(value: object) -> str:
    """The RFC 8785 text of a value: keys in UTF-16 order, no white space.

    Dataclasses become objects of their fields, enums their values, tuples arrays. Decimals are
    strings without exponent or trailing zeros, instants are UTC with `Z`, other dates, times and
    UUIDs their ISO or hyphenated text. `TypeError` for floats and every other kind; `ValueError`
    for what JSON readers would not agree on (naive datetimes, NaN, lone surrogates, integers
    past 2**53 - 1, decimals of more than a thousand digits).
    """
    return canonical_bytes(value).decode()


def canonical_bytes(value: object) -> bytes:
    """The same text in UTF-8, which is what gets hashed and signed."""
    plain = _plain(value)
    try:
        return orjson.dumps(plain)
    except orjson.JSONEncodeError as error:  # a lone surrogate, which has no UTF-8 form
        raise ValueError(str(error)) from None


def content_hash(value: object) -> str:
    """SHA-256 of the canonical text in UTF-8, as 64 hexadecimal digits."""
    return sha256(canonical_bytes(value)).hexdigest()


def _plain(value: object) -> object:
    return (_known.get(type(value)) or _form(type(value)))(value)


def _form(kind: type) -> Callable[[Any], object]:
    render = next((render for kinds, render in _FORMS if issubclass(kind, kinds)), None)
    if render is None and is_dataclass(kind):
        render = partial(_fields, _in_order([field.name for field in fields(kind)]))
    if render is None:
        raise TypeError(f"{kind.__name__} has no canonical form")
    _known[kind] = render
    return render


_known: dict[type, Callable[[Any], object]] = {}
"""Types met so far; there are as many as the program has classes."""


def _fields(names: Sequence[str], value: object) -> dict[str, object]:
    return {name: _plain(getattr(value, name)) for name in names}


def _object(members: Mapping[object, object]) -> dict[str, object]:
    return {key: _plain(members[key]) for key in _in_order([_key(key) for key in members])}


def _in_order(keys: list[str]) -> list[str]:
    """In the order of their UTF-16 code units, which is that of the letters themselves where all are ASCII."""
    return sorted(keys, key=None if "".join(keys).isascii() else _utf16)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"object keys are strings, not {type(key).__name__}")
    return str(key.value if isinstance(key, Enum) else key)


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be")


def _integer(number: int) -> int:
    if abs(number) > _LARGEST_EXACT:
        raise ValueError(f"{number} is not exact in every JSON reader; use Decimal")
    return int(number)


def _decimal(number: Decimal) -> str:
    if not number.is_finite():
        raise ValueError(f"{number} is not a number JSON can carry")
    if not number:
        return "0"
    if abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"{number} is too long to write out")
    # Not normalize(): that rounds to the context's precision.
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _instant(moment: datetime) -> str:
    if moment.utcoffset() is None:
        raise ValueError("a datetime without a zone is not an instant")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


_FORMS: tuple[tuple[type | tuple[type, ...], Callable[[Any], object]], ...] = (
    # The first match counts: an enum may also be a str or an int, a bool is an int, a datetime a date.
    (Enum, lambda enum: _plain(enum.value)),
    ((bool, NoneType), lambda constant: constant),
    (str, str),
    (int, _integer),
    (Decimal, _decimal),
    (datetime, _instant),
    ((date, time), lambda moment: moment.isoformat()),
    (UUID, str),
    ((list, tuple), lambda items: [_plain(item) for item in items]),
    (Mapping, _object),
)
