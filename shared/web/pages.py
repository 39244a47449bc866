"""Keyset pages. A cursor works only with the filters and the caller it was made for."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar
from urllib.parse import urlencode
from uuid import UUID

import orjson
from fastapi import Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.built import BuiltList, Filters
from shared.data.direct import Direct
from shared.data.listing import Listing, Span
from shared.data.session import Versioned
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
    rows = (await session.execute(_one_more(wanted, page))).all()
    cursor = _next_cursor([row[0].id for row in rows], page)
    if cursor:
        page.link_next(cursor)
    return Rows([row[0] if item is None else item(*row) for row in rows[: page.limit]], cursor)


async def paginate_built(
    transaction: Direct, wanted: BuiltList, filters: Filters, page: PageRequest
) -> Response:
    """The same page for a list that is read all the time; its weak ETag is of the versions of its items."""
    after = None if page.cursor is None else read_cursor(page.cursor, page.fingerprint())
    question = wanted.page(filters, page.span, after, page.limit + 1, descending=page.descending)
    rows = await transaction.all(question[0], *question[1])
    cursor = _next_cursor([row[0] for row in rows], page)
    if cursor:
        page.link_next(cursor)
    shown = rows[: page.limit]
    seen = hashlib.blake2b(cursor.encode() if cursor else b"", digest_size=9)
    for row in shown:
        seen.update(row[0].bytes + row[1].to_bytes(4))
    page.response.headers["ETag"] = f'W/"{seen.hexdigest()}"'
    items, following = ",".join(row[2] for row in shown), orjson.dumps(cursor).decode()
    content = f'{{"items":[{items}],"next_cursor":{following}}}'
    return Response(content, headers={**page.response.headers, "content-type": "application/json"})


def _one_more(wanted: Listing[Any], page: PageRequest) -> Select[*tuple[Any, ...]]:
    """The page's rows and the one after: whether there is another page."""
    statement, model = wanted.during(page.span), wanted.model
    if page.cursor is not None:
        after = read_cursor(page.cursor, page.fingerprint())
        statement = statement.where(model.id < after if page.descending else model.id > after)
    order = model.id.desc() if page.descending else model.id.asc()
    return statement.order_by(order).limit(page.limit + 1)


def _next_cursor(ids: Sequence[UUID], page: PageRequest) -> str | None:
    if len(ids) <= page.limit:
        return None
    return write_cursor(ids[page.limit - 1], page.fingerprint())


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
