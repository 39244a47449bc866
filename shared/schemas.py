"""Base classes and field types of every request and response: strict in, complete out."""

import unicodedata
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
    if isinstance(value, float):
        raise ValueError('send amounts as strings, for example "180000.00"')
    return value


def _plain(value: Decimal) -> str:
    return format(value, "f")


_Printable = AfterValidator(_printable)
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200), _Printable]
LongText = Annotated[str, StringConstraints(strict=True, max_length=4000), _Printable]
Key = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Count = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
Instant = AwareDatetime


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
