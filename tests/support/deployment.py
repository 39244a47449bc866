"""What the deployment files say, and what the code would make of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Match
from typer.core import TyperGroup

from concordat.__main__ import app as cli
from services.registry import create_app, settings_of
from shared.runtime.settings import KernelSettings
from tests.support.compose import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()


class Recording(dict[str, str]):
    """An environment that remembers which of its variables were asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)


def settings_names(service: str) -> set[str]:
    """The environment variables a service's settings are read from."""
    fields = [name.upper() for name in settings_of(service).model_fields]
    return {f"{prefix}_{name}" for prefix in (service.upper(), "CONCORDAT") for name in fields}


def settings_from(
    service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> KernelSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return settings_of(service)()


def app_of(service: str, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The service's application, composed as it would be there; nothing connects."""
    settings = settings_from(service, environment, monkeypatch)
    return create_app(service, settings)


def commands() -> TyperGroup:
    """The command line, to be asked what it understands."""
    group = typer.main.get_command(cli)
    assert isinstance(group, TyperGroup)
    return group


def parsed(words: Sequence[str]) -> dict[str, Any]:
    """The options of a command line as its command understands them; raises when it would refuse them."""
    name, *rest = words
    assert name in commands().commands, f"there is no `concordat {name}`"
    return dict(commands().commands[name].make_context(name, rest).params)


def answers(app: Starlette, path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in app.router.routes)


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def manifest_file(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return loaded


def manifest(kind: str, name: str) -> dict[str, Any]:
    [chosen] = [m for m in manifests() if m["kind"] == kind and m.get("metadata", {}).get("name") == name]
    return chosen


def pods() -> dict[str, dict[str, Any]]:
    """The pod specification of every workload, by the name of its only container."""
    workloads = [m for m in manifests() if m["kind"] in ("Deployment", "Job")]
    specs = [m["spec"]["template"]["spec"] for m in workloads]
    return {spec["containers"][0]["name"]: spec for spec in specs}


def pod_environment(name: str) -> dict[str, str]:
    """What a pod finds in its environment, with the example secrets."""
    environment: dict[str, str] = {}
    for source in pods()[name]["containers"][0]["envFrom"]:
        if "configMapRef" in source:
            environment |= manifest("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            environment |= manifest("Secret", source["secretRef"]["name"])["stringData"]
    return environment


def credentials(url: str) -> tuple[str | None, str | None]:
    parts = urlsplit(url)
    return parts.username, parts.password
