"""Base classes and field types of every request and response: strict in, complete out."""

import re
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

DECIMAL_SCHEMA = {"type": "string", "format": "decimal", "pattern": r"^-?\d{1,18}(\.\d{1,10})?$"}
_ALLOWED_CONTROLS = "\t\n\r"
# With the exponent by which Python writes very small amounts in documents we stored.
_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,10})?(E[+-][0-9]{1,2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DATE.pattern + r"[Tt ][0-9:.]{5,}([Zz]|[+-][0-9]{2}:[0-9]{2})")


class In(BaseModel):
    """A request body: unknown fields are refused, floats never become NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings")


class Out(BaseModel):
    """A response: every field is always there, so that generated clients need no guesses."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


def _printable(text: str) -> str:
    """Refuse what PostgreSQL or a terminal cannot hold, and store one Unicode form (NFC)."""
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs") and character not in _ALLOWED_CONTROLS:
            raise ValueError("control characters and lone surrogates are not allowed")
    return unicodedata.normalize("NFC", text)


def _exact(value: object) -> object:
    """Amounts come as JSON strings or integers: a JSON float has lost its exactness already."""
    if isinstance(value, float) or (isinstance(value, str) and not _AMOUNT.fullmatch(value)):
        raise ValueError('send amounts as strings, for example "180000.00"')
    return value


def _written_date(value: object) -> object:
    """A date as text and nothing else; pydantic alone would read numbers and midnights too."""
    is_read = isinstance(value, date) and not isinstance(value, datetime)
    if is_read or (isinstance(value, str) and _DATE.fullmatch(value)):
        return value
    raise ValueError("send a date such as 2026-10-01")


def _written_instant(value: object) -> object:
    """An RFC 3339 instant as text; pydantic alone would read numbers as seconds since 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and _INSTANT.fullmatch(value)):
        return value
    raise ValueError("send an instant with its offset, such as 2026-10-01T08:00:00-04:00")


def _in_utc(value: datetime) -> datetime:
    """The same instant, refused where it lies in no year that UTC has."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("this instant lies outside the years 1 to 9999") from None
    return value


def _plain(value: Decimal) -> str:
    return format(value, "f")


_Printable = AfterValidator(_printable)
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200), _Printable]
LongText = Annotated[str, StringConstraints(strict=True, max_length=4000), _Printable]
Key = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
AsDate = BeforeValidator(_written_date)
"""For dates: put it last, so that bounds before it still reach the API document."""
Instant = Annotated[AwareDatetime, BeforeValidator(_written_instant), AfterValidator(_in_utc)]

Exact = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(allow_inf_nan=False, max_digits=28, decimal_places=10),
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema(DECIMAL_SCHEMA),
]
Money = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(allow_inf_nan=False, ge=0, max_digits=18, decimal_places=2),
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema(DECIMAL_SCHEMA),
]
Percent = Annotated[
    Decimal,
    BeforeValidator(_exact),
    Field(allow_inf_nan=False, ge=-1_000_000, le=1_000_000, max_digits=18, decimal_places=10),
    PlainSerializer(_plain, return_type=str, when_used="json"),
    WithJsonSchema(DECIMAL_SCHEMA),
]
