"""docker-compose.yml as data: interpolated the way Docker does it, for tests that check it or run it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
OUR_IMAGE = "concordat"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True)
class ComposeService:
    """One service of the file; `health` is the command of its check without the leading `CMD`."""

    name: str
    image: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: tuple[str, ...]
    depends_on: Mapping[str, str]

    @property
    def is_ours(self) -> bool:
        return self.image.split(":")[0] == OUR_IMAGE

    @property
    def runs_once(self) -> bool:
        return self.is_ours and not self.health


def compose_services(values: Mapping[str, str] | None = None) -> dict[str, ComposeService]:
    """The services by name; `values` are what the user's `.env` would say."""
    text = _VARIABLE.sub(lambda match: _value(match, values or {}), COMPOSE_FILE.read_text())
    services = yaml.safe_load(text)["services"]
    return {name: _service(name, described) for name, described in services.items()}


def variables() -> dict[str, str]:
    """What the file lets a user set, with the defaults."""
    return {match["name"]: match["default"] or "" for match in _VARIABLE.finditer(COMPOSE_FILE.read_text())}


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    return values.get(match["name"]) or match["default"] or ""


def _service(name: str, described: Mapping[str, Any]) -> ComposeService:
    test = described.get("healthcheck", {}).get("test", ["CMD"])
    assert test[0] == "CMD", f"{name}: a health check without a shell"
    return ComposeService(
        name=name,
        image=described["image"],
        command=tuple(described.get("command", ())),
        environment=described.get("environment", {}),
        health=tuple(test[1:]),
        depends_on={other: how["condition"] for other, how in described.get("depends_on", {}).items()},
    )


def in_start_order(services: Mapping[str, ComposeService]) -> Iterator[ComposeService]:
    """Every service after those it depends on."""
    started: set[str] = set()
    while len(started) < len(services):
        ready = [s for s in services.values() if s.name not in started and not set(s.depends_on) - started]
        assert ready, f"services wait for each other: {set(services) - started}"
        yield from ready
        started |= {service.name for service in ready}
