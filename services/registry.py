"""The only list of services, and how their parts are reached by name."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
from fastapi import FastAPI
from sqlalchemy import MetaData

from shared.data import migrations
from shared.runtime.settings import KernelSettings

SERVICES = ("charter", "sla", "changes", "notifier")


def settings_of(service: str) -> type[KernelSettings]:
    """The settings class of a service."""
    settings: type[KernelSettings] = import_module(f"services.{service}.settings").Settings
    return settings


def create_app(service: str, settings: KernelSettings, *seams: Any) -> FastAPI:
    """The service's application; `seams` are its bus and its clock."""
    built: FastAPI = import_module(f"services.{service}.app").create_app(settings, *seams)
    return built


def metadata_of(service: str) -> MetaData:
    """The tables of a service, those of all its features among them."""
    list(modules(service, "models"))
    metadata: MetaData = import_module(f"services.{service}.base").Base.metadata
    return metadata


def versions_of(service: str) -> Path:
    """The folder of the service's own migrations."""
    return Path(__file__).parent / service / "migrations" / "versions"


async def refuse_old_schema(service: str, connection: asyncpg.Connection) -> None:
    """See `migrations.refuse_old_schema`."""
    await migrations.refuse_old_schema(connection, service, metadata_of(service), versions_of(service))


def upgrade(service: str, url: str) -> None:
    """Bring the service's schema to its newest revisions, as its owner; see `migrations.upgrade`."""
    migrations.upgrade(service, url, versions_of(service))


def modules(service: str, part: str) -> Iterator[ModuleType]:
    """Every module of the service that is called `part` (`policy`, `models`, `domain`...) or lies in a package so called."""
    package = import_module(f"services.{service}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if part in module.name.split(".")[2:] and "migrations" not in module.name:
            yield import_module(module.name)
