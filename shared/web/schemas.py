"""Base classes and field types of every request and response: strict in, complete out."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from shared.pure.texts import needed, written

DECIMAL_SCHEMA = {"type": "string", "format": "decimal", "pattern": r"^-?\d{1,18}(\.\d{1,10})?$"}
# With the exponent by which Python writes very small amounts in documents we stored.
_AMOUNT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,10})?(E[+-][0-9]{1,2})?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(_DATE.pattern + r"[Tt ][0-9:.]{5,}([Zz]|[+-][0-9]{2}:[0-9]{2})")

_LOST_PLUS = re.compile(r"[0-9] [0-9]{2}:[0-9]{2}$")
"""An offset whose plus sign was read as a space, as queries do."""


class In(BaseModel):
    """A request body: unknown fields are refused, floats never become NaN."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, ser_json_inf_nan="strings")


class Patch(In):
    """A request that names what is to change: what is absent stays, what is named is replaced as a whole.

    Null is a value where the field's type says `| None`, and refused elsewhere: it would be neither.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _no_null(cls, value: object, field: ValidationInfo) -> object:
        kind = cls.model_fields[str(field.field_name)].annotation
        if value is None and NoneType not in get_args(kind):
            raise ValueError("null is no value here; leave the field out to keep what is stored")
        return value

    @property
    def changes(self) -> dict[str, Any]:
        """What the body names; empty for `{}`, which changes nothing and makes no new version."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Out(BaseModel):
    """A response: every field is always there, so that generated clients need no guesses."""

    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


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
    hint = "; in an address, write + as %2B" if isinstance(value, str) and _LOST_PLUS.search(value) else ""
    raise ValueError(f"send an instant with its offset, such as 2026-10-01T08:00:00-04:00{hint}")


def read_moment(value: object) -> date | datetime:
    """A date, or an instant with its offset, as text."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return _parsed(date, value)
    return _in_utc(_parsed(datetime, str(_written_instant(value))))


D = TypeVar("D", bound=date)


def _parsed(kind: type[D], value: str) -> D:
    try:
        return kind.fromisoformat(value)
    except ValueError:
        raise ValueError("send a date such as 2026-10-01, or an instant with its offset") from None


def _in_utc(value: datetime) -> datetime:
    """The same instant, refused where it lies in no year that UTC has."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("this instant lies outside the years 1 to 9999") from None
    return value


def _plain(value: Decimal) -> str:
    return format(value, "f")


Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=200), AfterValidator(needed)]
Needed = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=4000), AfterValidator(needed)]
"""A longer text that must say something."""
LongText = Annotated[str, StringConstraints(strict=True, max_length=4000), AfterValidator(written)]
"""A longer text that may be empty."""
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
