"""CSV twins of lists: streamed in batches, without a limit, one way to write every value.

A batch is a transaction of its own in the caller's eyes, so that no connection is held while a slow client
reads. Each row is as it was when its batch was read; rows created after the export began are left out.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from sqlalchemy import Select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.ids import uuid7
from shared.data.listing import Listing, Span
from shared.data.session import Versioned
from shared.runtime.kernel import Kernel
from shared.web.answers import Streamed, attachment
from shared.web.filters import During
from shared.web.schemas import Out

BATCH: Final = 250
BOM: Final = "\ufeff"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


class CsvStream(Streamed):
    """RFC 4180 with a header row, in UTF-8."""

    media_type = "text/csv"


@dataclass(frozen=True)
class Table:
    """The columns of an export, and how a row of the database becomes one of the table."""

    columns: Sequence[str]
    cells: Callable[..., Mapping[str, object]]


def table_of(schema: type[Out]) -> Table:
    """The fields of a list's item, in their order."""

    def cells(row: object) -> Mapping[str, object]:
        return schema.model_validate(row).model_dump()

    return Table(tuple(schema.model_fields), cells)


@dataclass(frozen=True)
class Export:
    """A CSV answer in the making: what the query asked for, and whose eyes it is made in."""

    request: Request
    span: Span
    has_bom: bool

    async def of(self, session: AsyncSession, name: str, wanted: Listing[Any], table: Table) -> CsvStream:
        """Every row, oldest first. The first batch comes from the route's own transaction."""
        model = wanted.model
        rows = wanted.during(self.span).where(model.id < uuid7()).order_by(model.id).limit(BATCH)
        first = (await session.execute(rows)).all()
        headers = {
            "Content-Disposition": attachment(f"{name}.csv"),
            "Content-Type": "text/csv; charset=utf-8; header=present",
        }
        return CsvStream(self._lines(first, rows, model, table), headers=headers)

    async def _lines(
        self, first: Sequence[Any], rows: Select[*tuple[Any, ...]], model: type[Versioned], table: Table
    ) -> AsyncIterator[str]:
        kernel: Kernel = self.request.app.state.kernel
        yield (BOM if self.has_bom else "") + written([table.columns])
        batch = first
        while batch:
            cells = [table.cells(*row) for row in batch]
            yield written([row.get(column) for column in table.columns] for row in cells)
            if len(batch) < BATCH:
                return
            async with kernel.database.acting_as(self.request.state.identity) as (session, _):
                batch = (await session.execute(rows.where(model.id > batch[-1][0].id))).all()


async def _export(
    request: Request,
    span: During,
    bom: Annotated[
        bool, Query(description="begin with a byte order mark, which Excel needs to see UTF-8")
    ] = False,
) -> Export:
    return Export(request, span, bom)


Exporting = Annotated[Export, Depends(_export)]


def written(rows: Any) -> str:
    """Lines of CSV; texts are quoted, numbers are not."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return buffer.getvalue()


def csv_cell(value: object) -> str | int:
    """A value as every export writes it, and as no spreadsheet takes for a formula (OWASP CSV injection)."""
    if isinstance(value, int) and not isinstance(value, bool | Enum):
        return value
    text = _plain(value)
    risky = text.lstrip(" '\"").startswith(_FORMULA) or text.startswith(_FORMULA)
    return "'" + text if risky and not isinstance(value, Decimal) else text


def _plain(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case Decimal():
            return format(value, "f")
        case datetime():
            # Always with microseconds: readers that infer one format from the first row read all of them.
            return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case list() | tuple() | set() | frozenset():
            return " ".join(map(_plain, value))
        case Mapping():
            return json.dumps(value, ensure_ascii=False, default=_plain, separators=(",", ":"))
        case UUID() | str():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no form in CSV")
