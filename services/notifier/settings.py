"""Settings of the notifier: `NOTIFIER_*`, else `CONCORDAT_*`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

from services.notifier.channels.webhook.domain.addresses import EgressPolicy, egress_policy
from services.notifier.endpoints.service.vault import Vault, new_vault_key, vault_key
from shared.runtime.settings import KernelSettings, settings_config

# A claimed delivery is ours for a minute; an attempt must surely have ended by then.
LONGEST_DEADLINE = timedelta(seconds=45)


def _split(value: object) -> object:
    """Lists are written with commas in the environment."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(KernelSettings):
    """What a deployment decides about sending webhooks. Tenants can change none of it."""

    model_config = settings_config("NOTIFIER")

    secret_key: SecretStr | None = Field(
        None, description="base64 of 32 random bytes; seals endpoint secrets"
    )
    previous_secret_keys: tuple[SecretStr, ...] = Field((), description="keys that still open old secrets")
    allowed_networks: Listed = Field(
        (), description="CIDRs beyond public addresses; plain http is allowed there"
    )
    allowed_hosts: Listed = Field((), description="host names that may resolve to private addresses")
    allowed_ports: Listed = Field(("443",), description="ports and ranges, such as 443,8000-8999")
    ca_file: Path | None = Field(None, description="certificate authorities instead of the system's")
    deadline: timedelta = Field(timedelta(seconds=15), gt=timedelta(0), le=LONGEST_DEADLINE)
    concurrency: int = Field(200, ge=1, le=2000, description="deliveries in flight in this process")

    @model_validator(mode="after")
    def _refuse_bad_delivery_settings(self) -> Self:
        if self.secret_key is None and self.environment not in ("embedded", "test"):
            raise ValueError("set NOTIFIER_SECRET_KEY to the base64 form of 32 random bytes")
        self.vault()
        self.egress_policy()
        return self

    def vault(self) -> Vault:
        """The vault of these keys; without a key (tests only) what it seals does not outlive it."""
        keys = [key.get_secret_value() for key in (self.secret_key, *self.previous_secret_keys) if key]
        return Vault(vault_key(key) for key in keys or [new_vault_key()])

    def egress_policy(self) -> EgressPolicy:
        return egress_policy(self.allowed_networks, self.allowed_hosts, self.allowed_ports)
