"""Query parameters that every list has alike: several values of one filter, and a span of time."""

from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Query
from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from shared.data.listing import Moment, Span
from shared.web.schemas import read_moment

T = TypeVar("T")
Several = Annotated[
    list[T] | SkipJsonSchema[None], Query(max_length=100, description="repeat it for any of several values")
]
"""A filter of one value or more: `state: Several[State] = None`."""

_Moment = Annotated[
    Moment,
    PlainValidator(read_moment),
    WithJsonSchema({"type": "string", "examples": ["2026-10-01", "2026-10-01T08:00:00-04:00"]}),
]
_OF = "a date, or an instant with its offset"


async def _span(
    from_: Annotated[
        _Moment | SkipJsonSchema[None], Query(alias="from", description=f"at or after: {_OF}")
    ] = None,
    to: Annotated[_Moment | SkipJsonSchema[None], Query(description=f"before: {_OF}")] = None,
    since: Annotated[_Moment | SkipJsonSchema[None], Query(description=f"changed at or after: {_OF}")] = None,
) -> Span:
    return Span(from_, to, since)


_OPTIONAL_ID = "^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$"
AfterId = Annotated[
    UUID | SkipJsonSchema[None],
    BeforeValidator(lambda given: given or None),
    WithJsonSchema({"type": "string", "pattern": _OPTIONAL_ID}),
    Query(),
]
"""A cursor that is an id; an empty one is the beginning, as in every list."""

During = Annotated[Span, Depends(_span)]
"""`from` and `to` bound a row's own time: its creation, unless the list says otherwise."""
