"""What a list holds, as its pages and its CSV twin read it: any of several values, within a span of time."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Date, Select, bindparam
from sqlalchemy.orm import InstrumentedAttribute

from shared.data.session import Versioned

Moment = date | datetime
R = TypeVar("R", bound=Versioned)
COMPARED: Final[Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]] = {
    "start": operator.ge,
    "end": operator.lt,
    "since": operator.ge,
}
"""How each end of a span compares with its column."""


@dataclass(frozen=True)
class Span:
    """When: a row's own time lies in [start, end), and it changed at or after `since`. None does not restrict."""

    start: Moment | None = None
    end: Moment | None = None
    since: Moment | None = None


@dataclass(frozen=True)
class Times:
    """The columns a span compares with: of a row's own time, and of its last change."""

    own: Any
    changed: Any

    def given(self, span: Span) -> dict[str, Moment]:
        """The ends that a span has, as their columns compare."""
        ends = {name: getattr(span, name) for name in COMPARED}
        return {
            name: _as_in(self.column(name), moment) for name, moment in ends.items() if moment is not None
        }

    def within(self, span: Span) -> list[ColumnElement[bool]]:
        """The conditions of a span."""
        return [COMPARED[name](self.column(name), moment) for name, moment in self.given(span).items()]

    def placed(self, names: Sequence[str]) -> list[ColumnElement[bool]]:
        """The same conditions for named parameters, which `given` fills."""
        return [
            COMPARED[name](self.column(name), bindparam(name, None, type_=self.column(name).type))
            for name in names
        ]

    def column(self, name: str) -> Any:
        return self.changed if name == "since" else self.own


@dataclass(frozen=True)
class Listing(Generic[R]):
    """Rows of a model, in order of their ids. `dated` is their own time, else it is when they were created."""

    statement: Select[*tuple[Any, ...]]
    model: type[R]
    dated: InstrumentedAttribute[Any] | None = None

    @property
    def times(self) -> Times:
        return Times(self.model.created_at if self.dated is None else self.dated, self.model.updated_at)

    def during(self, span: Span) -> Select[*tuple[Any, ...]]:
        """The rows of that time."""
        return self.statement.where(*self.times.within(span))


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
