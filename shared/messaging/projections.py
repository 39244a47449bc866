"""What a consumer makes of events: projections, each a group of handlers that write the same tables."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Event, Received

Handler = Callable[[AsyncSession, Received[Any]], Awaitable[None]]


@dataclass(frozen=True)
class Projection:
    """Handlers that write the same tables, so they share one guard against old events.

    `tables` is all that the handlers write: `bus replay` empties these and fills them from the archives. The moment such
    handlers are given is the event's. A projection without tables reacts (it alerts, it answers with events) and is not
    replayed: what was done would be done again.
    """

    name: str
    handlers: Mapping[type[Event], Callable[..., Awaitable[None]]]
    tables: Sequence[str] = ()

    @property
    def types(self) -> frozenset[str]:
        """The event types it learns from."""
        return frozenset(cls.TYPE for cls in self.handlers)


@dataclass(frozen=True)
class Feed:
    """One event type as a consumer takes it: its class, and the handler of each projection that learns from it."""

    cls: type[Event]
    handlers: Mapping[str, Handler]


def feeds(projections: Sequence[Projection]) -> dict[str, Feed]:
    """What becomes of each event type.

    `ValueError` for two projections of one name, whose guards would be one, or of one table: a replay of either would
    empty the other's.
    """
    _refuse_repeated("names", [projection.name for projection in projections])
    _refuse_repeated("tables", [table for projection in projections for table in projection.tables])
    classes = {cls for projection in projections for cls in projection.handlers}
    return {
        cls.TYPE: Feed(cls, {p.name: p.handlers[cls] for p in projections if cls in p.handlers})
        for cls in classes
    }


def _refuse_repeated(what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"projections need {what} of their own: {', '.join(sorted(names))}")
