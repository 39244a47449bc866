"""The pages people read: the map of services and routes, and the state machines."""

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Any

from concordat.reference.sources import (
    Route,
    app_of,
    channel_of,
    channels,
    events_on,
    first_sentence,
    handled_by,
    installed,
    publishers,
    routes_of,
)
from services.registry import SERVICES, modules
from shared.contracts.base import TYPE_PREFIX, Event
from shared.matters import states as awaited
from shared.pure.transitions import Transitions
from shared.reviews import domain as reviews
from shared.runtime.kernel import Kernel
from shared.web.authz import EVERYONE, Action

GENERATED = "<!-- Generated from the code by `make documents`; edits are overwritten. -->"
EVERY_SERVICE = "every service"
KERNEL = (reviews, awaited)
"""The modules of the kernel that have such tables."""
EVENT_COLUMNS = ("event", "means", "followed by")


def map_page() -> str:
    """docs/map.md: who owns, publishes and follows what, and every route with its policy."""
    parts = [
        GENERATED,
        "# Map",
        "Services meet in events only: none calls another, none reads another's tables.",
        _table(("service", "owns", "publishes", "follows"), map(_summary, installed())),
        _mermaid("flowchart LR\n" + "\n".join(_edges())),
        f"Below, an event is named without the prefix `{TYPE_PREFIX}` and its version. "
        "Schemas are in [events/schemas](events/schemas), samples in [events/golden](events/golden), "
        "the topics in [events/asyncapi.json](events/asyncapi.json), the APIs in [api](api).",
        *(part for name in installed() for part in _service(name)),
        *(part for name in channels() if name not in SERVICES for part in _shared_channel(name)),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(name: str) -> Sequence[str]:
    kernel: Kernel = app_of(name).state.kernel
    owned = ", ".join(tag.replace("_", " ") for tag, _ in kernel.info.tags)
    written = (f"`concordat.{each}`" for each in channels() if name in publishers(each))
    read = sorted({f"`{cls.TOPIC}`" for cls in handled_by(name)})
    return f"[{name}](#{name})", owned, ", ".join(written), ", ".join(read) or "nobody"


def _edges() -> Iterator[str]:
    yield from (f"    {name}" for name in SERVICES)
    for name in installed():
        for channel in channels():
            handled = [short(cls) for cls in handled_by(name) if channel_of(cls) == channel]
            if handled:
                yield f'    {channel} -- "{"<br/>".join(handled)}" --> {name}'


def short(cls: type[Event]) -> str:
    """An event type without our prefix and its version."""
    return cls.TYPE.removeprefix(TYPE_PREFIX).rpartition(".v")[0]


def _service(name: str) -> Iterator[str]:
    app = app_of(name)
    yield f"## {name}"
    yield app.description
    yield _table(EVENT_COLUMNS, map(_event, events_on(name)))
    yield _table(("route", "operation", "policy", "who may"), map(_route, routes_of(app)))


def _shared_channel(channel: str) -> Iterator[str]:
    yield f"## Every service: {channel}"
    yield f"Each service publishes these about its own data, on `concordat.{channel}`."
    yield _table(EVENT_COLUMNS, map(_event, events_on(channel)))


def _event(cls: type[Event]) -> Sequence[str]:
    listeners = [name for name in installed() if cls in handled_by(name)]
    return f"`{short(cls)}`", first_sentence(cls), ", ".join(listeners)


def _route(route: Route) -> Sequence[str]:
    policy = f"`{route.action.name}`" if route.action else "none"
    who = _who(route.action) if route.action else "anybody"
    return f"`{route.method} {route.path}`", f"`{route.name}`", policy, who


def _who(action: Action) -> str:
    """The policy row in words. Who may see a row at all is decided by row-level security before it."""
    roles = "any member" if action.roles is None else ", ".join(sorted(action.roles))
    sides = "" if action.parties == EVERYONE else " of the " + " or ".join(sorted(action.parties))
    home = " of the own organization" if action.own_org else sides
    members = roles + home if roles else ""
    return "; ".join(filter(None, (members, "platform administrator" if action.sysadmin else "")))


def state_machines_page() -> str:
    """docs/state-machines.md: one diagram per transition table."""
    parts = [
        GENERATED,
        "# State machines",
        "What may happen to each thing, drawn from the tables that the code obeys. "
        "An act that has no arrow is refused as `not_allowed`.",
    ]
    for owner in (*SERVICES, EVERY_SERVICE):
        for name, about, machine in machines(owner):
            title = _words(name)
            parts += [f"## {owner}: {title}", about, _mermaid(machine.as_mermaid(title).rstrip())]
    return "\n\n".join(parts) + "\n"


def machines(owner: str) -> Iterator[tuple[str, str, Transitions[Any, Any]]]:
    """Each table in the domain of a service, or of the kernel: the name and docstring of its states, and the table."""
    for module in KERNEL if owner == EVERY_SERVICE else modules(owner, "domain"):
        for value in vars(module).values():
            states = _states(value) if isinstance(value, Transitions) else None
            if states is not None and states.__module__ == module.__name__:
                yield states.__name__, states.__doc__ or "", value


def _states(machine: Transitions[Any, Any]) -> type[StrEnum]:
    state, _ = next(iter(machine.table))
    return type(state)


def _words(name: str) -> str:
    """`ChangeRequestState` as `change request`."""
    return " ".join(re.findall(r"[A-Z][a-z]+", name.removesuffix("State"))).lower()


def _mermaid(diagram: str) -> str:
    return f"```mermaid\n{diagram}\n```"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
