"""What `concordat migrate` reads from the environment of a deployment."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

import asyncpg

from services.registry import SERVICES
from shared.data import migrations

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Deployment:
    """Where the database is, which services live in it, and the passwords of their roles."""

    admin_url: str
    services: tuple[str, ...]
    migration_urls: Mapping[str, str]
    passwords: dict[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises `SystemExit` with a sentence that names what is missing or contradicts."""
        services = tuple(environment.get("CONCORDAT_SERVICES", ",".join(SERVICES)).split(","))
        urls = {name: _required(environment, name) for name in _names(services)}
        expected = {
            **{f"{s.upper()}_DATABASE_URL": migrations.runtime_role(s) for s in services},
            **{f"{s.upper()}_MIGRATION_URL": migrations.owner_role(s) for s in services},
            "CONCORDAT_BUS_DATABASE_URL": migrations.BUS_ROLE,
            "CONCORDAT_ARCHIVE_DATABASE_URL": migrations.ARCHIVE_ROLE,
        }
        passwords = {role: _password(name, urls[name], role) for name, role in expected.items()}
        return cls(
            admin_url=urls["CONCORDAT_ADMIN_URL"],
            services=services,
            migration_urls={s: urls[f"{s.upper()}_MIGRATION_URL"] for s in services},
            passwords=passwords,
        )

    async def await_database(self) -> None:
        """Wait up to a minute for the server: containers start in any order."""
        for _ in range(PATIENCE_SECONDS):
            try:
                connection = await asyncpg.connect(self.admin_url, timeout=5)
            except (OSError, asyncpg.CannotConnectNowError, TimeoutError):
                await asyncio.sleep(1)
            else:
                await connection.close()
                return
        raise SystemExit("CONCORDAT_ADMIN_URL: the database does not answer")


def _names(services: tuple[str, ...]) -> list[str]:
    per_service = [f"{s.upper()}_{kind}_URL" for s in services for kind in ("DATABASE", "MIGRATION")]
    return [
        "CONCORDAT_ADMIN_URL",
        "CONCORDAT_BUS_DATABASE_URL",
        "CONCORDAT_ARCHIVE_DATABASE_URL",
        *per_service,
    ]


def _required(environment: Mapping[str, str], name: str) -> str:
    try:
        return environment[name]
    except KeyError:
        raise SystemExit(f"set {name} to a postgresql:// URL") from None


def _password(name: str, url: str, role: str) -> str:
    parts = urlsplit(url)
    if unquote(parts.username or "") != role or not parts.password:
        raise SystemExit(f"{name} must name the role {role} and carry its password")
    return unquote(parts.password)
