"""Keyset pages. A cursor works only with the filters and the caller it was made for."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import ARRAY, ColumnElement, Row, Select, Text, Uuid, cast, inspect, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.types import NullType

from shared.data.listing import Listing, Span
from shared.data.session import EnumText, Versioned
from shared.runtime.kernel import Kernel
from shared.web.authz import Principal
from shared.web.filters import During
from shared.web.problems import BadRequest
from shared.web.schemas import Out

MAX_LIMIT = 1000
T = TypeVar("T")
R = TypeVar("R", bound=Versioned)


class Page(Out, Generic[T]):
    """One page; `next_cursor` is null on the last one."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True)
class Rows(Generic[T]):
    """A page of rows, as a `Page` subclass reads it."""

    items: Sequence[T]
    next_cursor: str | None


@dataclass(frozen=True)
class PageRequest:
    """What the client asked for, and where to put the `Link` header."""

    request: Request
    response: Response
    span: Span
    limit: int
    cursor: str | None
    descending: bool

    def fingerprint(self) -> str:
        """What a cursor is bound to: path, filters, order and the caller's organization."""
        principal: Principal = self.request.state.principal
        filters = sorted(
            (k, v) for k, v in self.request.query_params.multi_items() if k not in ("cursor", "limit")
        )
        bound = json.dumps([self.request.url.path, filters, self.descending, str(principal.org_id)])
        return hashlib.sha256(bound.encode()).hexdigest()[:16]

    def link_next(self, cursor: str) -> None:
        """Put the next page's address into the answer's `Link` header (RFC 8288)."""
        kernel: Kernel = self.request.app.state.kernel
        kept = [(k, v) for k, v in self.request.query_params.multi_items() if k != "cursor"]
        address = kernel.public_address(self.request.url.path)
        self.response.headers["Link"] = f'<{address}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


async def _page_request(
    request: Request,
    response: Response,
    span: During,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    cursor: Annotated[str | SkipJsonSchema[None], Query(max_length=200)] = None,
    sort: Annotated[Literal["created_at", "-created_at"], Query()] = "-created_at",
) -> PageRequest:
    # An empty cursor is the beginning: tools that keep the parameters of an address constant start with it.
    return PageRequest(request, response, span, limit, cursor or None, sort.startswith("-"))


PageQuery = Annotated[PageRequest, Depends(_page_request)]


async def paginate(
    session: AsyncSession, wanted: Listing[R], page: PageRequest, item: Callable[..., object] | None = None
) -> Rows[Any]:
    """One page, in order of creation (ids are UUIDv7); `item` makes an item of a row that is more than its model."""
    found = (await session.execute(_one_more(wanted, page))).all()
    cursor = _next_cursor([row[0] for row in found], page)
    if cursor:
        page.link_next(cursor)
    return Rows([row[0] if item is None else item(*row) for row in found[: page.limit]], cursor)


@dataclass(frozen=True)
class Shape:
    """An item of a list as its response model has it; a test holds the two together.

    `stored` are the columns shown as they are, by the names they are shown under; `derive` makes the rest out of a
    row of these and of `sources`. Columns of a joined table may be among them.
    """

    stored: Mapping[str, ColumnElement[Any]]
    sources: Mapping[str, ColumnElement[Any]]
    derive: Callable[[Row[Any]], dict[str, object]]


def columns_of(model: type[Versioned], names: Iterable[str]) -> dict[str, ColumnElement[Any]]:
    """Those of the names that are columns of the model, for a `Shape`."""
    columns = inspect(model).columns
    return {name: columns[name] for name in names if name in columns}


async def paginate_json(
    session: AsyncSession, wanted: Listing[R], page: PageRequest, shape: Shape
) -> Response:
    """The same page for lists that are read all the time: columns to JSON, without objects in between.

    What the database holds as JSON is passed on as its text.
    """
    shown = [_shown(column).label(name) for name, column in shape.stored.items()]
    hidden = {"id": wanted.model.id} | dict(shape.sources)
    sources = [column.label(name) for name, column in hidden.items() if name not in shape.stored]
    texts = [name for name, column in shape.stored.items() if isinstance(column.type, JSONB)]
    connection = await session.connection()  # past the session: there are no objects to keep track of
    query = replace(wanted, statement=wanted.statement.with_only_columns(*shown, *sources))
    found = (await connection.execute(_one_more(query, page))).all()
    cursor = _next_cursor(found, page)
    items = [_item(row, shape, texts) for row in found[: page.limit]]
    if cursor:
        page.link_next(cursor)
    content = orjson.dumps({"items": items, "next_cursor": cursor}, default=str, option=orjson.OPT_UTC_Z)
    return Response(content, headers={**page.response.headers, "content-type": "application/json"})


def _shown(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """As JSON can take it: enums stay the text they are stored as, JSON and UUIDs come as text, arrays as lists."""
    if isinstance(column.type, JSONB | Uuid):
        return cast(column, Text)
    if isinstance(column.type, EnumText | ARRAY):
        return type_coerce(column, NullType())
    return column


def _item(row: Row[Any], shape: Shape, texts: Sequence[str]) -> dict[str, object]:
    item: dict[str, object] = dict(zip(shape.stored, row, strict=False))
    for name in texts:
        item[name] = None if item[name] is None else orjson.Fragment(str(item[name]))
    return item | shape.derive(row)


def _one_more(wanted: Listing[Any], page: PageRequest) -> Select[*tuple[Any, ...]]:
    """The page's rows and the one after: whether there is another page."""
    statement, model = wanted.during(page.span), wanted.model
    if page.cursor is not None:
        after = read_cursor(page.cursor, page.fingerprint())
        statement = statement.where(model.id < after if page.descending else model.id > after)
    order = model.id.desc() if page.descending else model.id.asc()
    return statement.order_by(order).limit(page.limit + 1)


def _next_cursor(rows: Sequence[Any], page: PageRequest) -> str | None:
    if len(rows) <= page.limit:
        return None
    return write_cursor(UUID(str(rows[page.limit - 1].id)), page.fingerprint())


def write_cursor(last: UUID, fingerprint: str) -> str:
    """An opaque cursor after `last`, bound to what `PageRequest.fingerprint` covers."""
    return base64.urlsafe_b64encode(f"1.{last.hex}.{fingerprint}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, fingerprint: str) -> UUID:
    """The id a cursor stands after; `BadRequest` when it is damaged or was made for another question."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        version, last, bound = base64.urlsafe_b64decode(padded.encode("ascii")).decode("ascii").split(".")
        row_id = UUID(hex=last)
    except (ValueError, binascii.Error, UnicodeError):
        raise BadRequest("malformed_cursor", "Pass next_cursor back exactly as you got it.") from None
    if version != "1" or bound != fingerprint:
        raise BadRequest(
            "foreign_cursor", "This cursor belongs to other filters. Start again without a cursor."
        )
    return row_id
