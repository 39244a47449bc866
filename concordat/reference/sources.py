"""What the code says about itself: which services exist, their routes and policies, who listens to what."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import SecretStr

from services.registry import SERVICES, create_app, settings_of
from shared.contracts import registry
from shared.contracts.base import Event
from shared.runtime.kernel import Kernel
from shared.web.auth import Allow
from shared.web.authz import Action

NOWHERE = SecretStr("postgresql://nobody@localhost/nothing")


@dataclass(frozen=True)
class Route:
    """One operation. `action` None: no policy guards it (health and metrics only)."""

    method: str
    path: str
    name: str
    action: Action | None


@lru_cache
def installed(services: tuple[str, ...] = SERVICES) -> tuple[str, ...]:
    """Those of the services that can be documented; says on stderr which cannot yet."""
    home = Path(__file__).parents[2] / "services"
    missing = [name for name in services if not (home / name / "app.py").exists()]
    for name in missing:
        print(f"documents: services/{name}/app.py does not exist yet, skipped", file=sys.stderr)
    return tuple(name for name in services if name not in missing)


@lru_cache
def app_of(service: str) -> FastAPI:
    """The service's application, built to be read: nothing connects before its lifespan starts."""
    settings = settings_of(service)(
        environment="test", database_url=NOWHERE, bus="pglog", bus_database_url=NOWHERE
    )
    return create_app(service, settings)


def routes_of(app: FastAPI) -> list[Route]:
    """Every operation in order of declaration, those of nested routers too."""
    return [
        Route(method, str(context.path), str(context.name), next(_policies(context.dependant), None))
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        for method in sorted(context.methods or ())
    ]


def _policies(dependant: Dependant) -> Iterator[Action]:
    if isinstance(dependant.call, Allow):
        yield dependant.call.action
    for inner in dependant.dependencies:
        yield from _policies(inner)


def channel_of(cls: type[Event]) -> str:
    """The topic without our prefix: the name of the service that owns it, or of what all services share."""
    return cls.TOPIC.removeprefix("concordat.")


def channels() -> tuple[str, ...]:
    return tuple(dict.fromkeys(channel_of(cls) for cls in registry()))


def events_on(channel: str) -> list[type[Event]]:
    return [cls for cls in registry() if channel_of(cls) == channel]


def publishers(channel: str) -> tuple[str, ...]:
    """Who writes to a topic: its service, or every service when it is nobody's own."""
    return (channel,) if channel in SERVICES else SERVICES


def handled_by(service: str) -> list[type[Event]]:
    """The events the running service applies, in the order of the registry; the rest of a topic it ignores."""
    kernel: Kernel = app_of(service).state.kernel
    handled = kernel.consumer.inbox.handled if kernel.consumer else frozenset()
    return [cls for cls in registry() if cls in handled]


def first_sentence(documented: object) -> str:
    """The first line of a docstring, which says what the thing is."""
    return (documented.__doc__ or "").strip().partition("\n")[0]
