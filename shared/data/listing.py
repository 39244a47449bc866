"""What a list holds, as its pages and its CSV twin read it: any of several values, within a span of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Date, Select
from sqlalchemy.orm import InstrumentedAttribute

from shared.data.session import Versioned

Moment = date | datetime
R = TypeVar("R", bound=Versioned)


@dataclass(frozen=True)
class Span:
    """When: a row's own time lies in [start, end), and it changed at or after `since`. None does not restrict."""

    start: Moment | None = None
    end: Moment | None = None
    since: Moment | None = None

    def bounds(self, own: Any, changed: Any) -> list[ColumnElement[bool]]:
        """The conditions on the column of a row's own time, and on that of its last change."""
        return [
            *([] if self.start is None else [own >= _as_in(own, self.start)]),
            *([] if self.end is None else [own < _as_in(own, self.end)]),
            *([] if self.since is None else [changed >= _as_in(changed, self.since)]),
        ]


@dataclass(frozen=True)
class Listing(Generic[R]):
    """Rows of a model, in order of their ids. `dated` is their own time, else it is when they were created."""

    statement: Select[*tuple[Any, ...]]
    model: type[R]
    dated: InstrumentedAttribute[Any] | None = None

    def during(self, span: Span) -> Select[*tuple[Any, ...]]:
        """The rows of that time."""
        own = self.model.created_at if self.dated is None else self.dated
        bounds = span.bounds(own, self.model.updated_at)
        return self.statement.where(*bounds) if bounds else self.statement


def any_of(column: Any, values: Sequence[object] | None) -> list[ColumnElement[bool]]:
    """The restriction to these values, none for no values. One value keeps the plan of an equality."""
    if not values:
        return []
    return [column == values[0] if len(values) == 1 else column.in_(values)]


def _as_in(column: Any, moment: Moment) -> Moment:
    """As the column compares: a date is the row's own calendar day; beside an instant it is the day in UTC."""
    if isinstance(column.type, Date):
        return moment.astimezone(UTC).date() if isinstance(moment, datetime) else moment
    return moment if isinstance(moment, datetime) else datetime.combine(moment, time.min, UTC)
