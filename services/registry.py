"""The only list of services, and how their parts are reached by name."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from sqlalchemy import MetaData

from shared.runtime.settings import KernelSettings

SERVICES = ("charter", "sla", "changes", "notifier")


def settings_of(service: str) -> type[KernelSettings]:
    """The settings class of a service."""
    found: type[KernelSettings] = import_module(f"services.{service}.settings").Settings
    return found


def create_app(service: str, settings: KernelSettings, *seams: Any) -> FastAPI:
    """The service's application; `seams` are its bus and its clock."""
    built: FastAPI = import_module(f"services.{service}.app").create_app(settings, *seams)
    return built


def metadata_of(service: str) -> MetaData:
    """The tables of a service, those of all its features among them."""
    list(modules(service, "models"))
    found: MetaData = import_module(f"services.{service}.base").Base.metadata
    return found


def modules(service: str, part: str) -> Iterator[ModuleType]:
    """Every module of the service that is called `part` (`policy`, `models`, `domain`...) or lies in a package so called."""
    package = import_module(f"services.{service}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if part in found.name.split(".")[2:] and "migrations" not in found.name:
            yield import_module(found.name)
