"""Lists that are read all the time: PostgreSQL builds each item as JSON, and its text is passed on as it is.

The SQL is compiled once for each set of filters that is used, and run on the driver.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, DateTime, Numeric, Text, bindparam, cast, func
from sqlalchemy import literal_column as sql
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler

from shared.data.listing import COMPARED, Listing, Span

MOST_FIELDS: Final = 50  # json_build_object takes a hundred arguments
MOST_TEXTS: Final = 512
_DIALECT: Final = asyncpg.dialect()  # type: ignore[no-untyped-call]

Filters = Mapping[str, Sequence[object] | None]
Counts = tuple[tuple[str, int], ...]


def json_object(fields: Mapping[str, Any]) -> ColumnElement[Any]:
    """An object of these fields; instants and amounts are written as everywhere in the API."""
    assert len(fields) <= MOST_FIELDS
    pairs = [part for name, column in fields.items() for part in (sql(f"'{name}'"), _written(column))]
    return func.json_build_object(*pairs)


def _written(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, DateTime):
        in_utc = func.to_char(func.timezone(sql("'UTC'"), column), sql("""'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""))
        return func.replace(in_utc, sql("'.000000Z'"), sql("'Z'"))
    return cast(column, Text) if isinstance(column.type, Numeric) else column


class BuiltList:
    """A list by its filters, and what an item of it is. Make one, at import: it keeps its statements."""

    def __init__(self, listing: Callable[..., Listing[Any]], item: ColumnElement[Any]) -> None:
        self._listing, self._item = listing, item
        self._times = listing().times
        assert not listing().model.changes_silently, "the page's ETag is of versions"
        self._text = lru_cache(MOST_TEXTS)(self._compiled)

    def page(
        self, filters: Filters, span: Span, after: UUID | None, limit: int, *, descending: bool
    ) -> tuple[str, Sequence[object]]:
        """The statement that reads (id, version, item) of at most `limit` rows, and its parameters."""
        given = {name: values for name, values in filters.items() if values}
        counts = tuple((name, len(values)) for name, values in given.items())
        named = {
            f"given_{name}_{n}": value for name, values in given.items() for n, value in enumerate(values)
        }
        named |= self._times.given(span) | ({} if after is None else {"after": after})
        bounds = tuple(name for name in COMPARED if name in named)
        text, names, constants = self._text(counts, bounds, after is not None, limit, descending)
        return text, [named[name] if name in named else constants[name] for name in names]

    def _compiled(
        self, counts: Counts, bounds: tuple[str, ...], is_later: bool, limit: int, descending: bool
    ) -> tuple[str, Sequence[str], Mapping[str, object]]:
        """The SQL, its parameters in their order, and the values of those that are constants."""
        places: dict[str, list[BindParameter[Any]]] = {
            name: [bindparam(f"given_{name}_{n}", None) for n in range(count)] for name, count in counts
        }
        wanted = self._listing(**places)
        model, conditions = wanted.model, self._times.placed(bounds)
        if is_later:
            after = bindparam("after", None, type_=model.id.type)
            conditions.append(model.id < after if descending else model.id > after)
        statement = (
            wanted.statement.with_only_columns(
                model.id, model.version, cast(self._item, Text), maintain_column_froms=True
            )
            .where(*conditions)
            .order_by(model.id.desc() if descending else model.id.asc())
            # A literal: the planner must know that few rows are wanted, also in a plan for all parameters.
            .limit(sql(str(limit)))
        )
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        assert isinstance(compiled, SQLCompiler)
        return str(compiled), compiled.positiontup or (), compiled.params
