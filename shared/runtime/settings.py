"""Settings of a service: read from `<SERVICE>_*` first, then from `CONCORDAT_*`; refused when unsafe."""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.audit.keys import KeyRing, SigningKey, VerifyingKey
from shared.runtime import telemetry

SHARED_PREFIX = "CONCORDAT_"


class Issuer(BaseModel):
    """An identity provider we believe. Exactly one of `jwks_url` and `jwks_file` is set.

    `development` marks the built-in issuer, whose private key lies on this machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    audience: str = "concordat"
    jwks_url: str | None = None
    jwks_file: Path | None = None
    development: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise ValueError("an issuer needs exactly one of jwks_url and jwks_file")
        return self


def _public_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("give an address such as https://concordat.example.gov")
    return url.rstrip("/")


PublicUrl = Annotated[str, AfterValidator(_public_url)]


class KernelSettings(BaseSettings):
    """What every service needs. Subclasses add their own and name their prefix."""

    environment: Literal["embedded", "test", "development", "production"] = "production"
    database_url: SecretStr = Field(
        description="postgresql://role:password@host/database of the runtime role"
    )
    migration_url: SecretStr | None = Field(None, description="the same database as the owner role")
    bus: Literal["kafka", "pglog"] = "kafka"
    kafka_bootstrap: str = ""
    kafka_tls: bool = False
    kafka_ca_file: Path | None = None
    kafka_sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    kafka_username: str = ""
    kafka_password: SecretStr = SecretStr("")
    kafka_instance: str = Field("", description="static group member id, for example the pod's name")
    bus_database_url: SecretStr | None = None
    issuers: tuple[Issuer, ...] = ()
    sysadmins: tuple[str, ...] = Field((), description="platform administrators as `issuer|subject`")
    audit_key: SecretStr | None = Field(
        None,
        description="signs audit checkpoints: a private key in PEM, or base64 of a PEM or of 32 random bytes",
    )
    audit_retired_keys: tuple[str, ...] = Field(
        (), description="PEMs of the public keys that signed earlier checkpoints"
    )
    session_keys: tuple[SecretStr, ...] = Field(
        (), description="seal the session cookies of browsers: base64 of 32 random bytes each, newest first"
    )
    pool_size: int = Field(10, ge=1, le=100)
    max_body_bytes: int = Field(262_144, ge=1024)
    public_url: PublicUrl = Field(
        "http://127.0.0.1:8000", description="where callers reach the services; links are made from it"
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description="networks of the proxies in front; only their X-Forwarded-For and -Proto are believed",
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    tracing: bool = Field(False, description="export spans; needs the extra `otel`")
    background: bool = Field(True, description="run relay, consumers and timers in this process")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        shared = EnvSettingsSource(settings_cls, env_prefix=SHARED_PREFIX)
        return init_settings, env_settings, shared

    @model_validator(mode="after")
    def _refuse_unsafe(self) -> Self:
        if self.environment not in ("embedded", "test") and any(i.development for i in self.issuers):
            raise ValueError(
                "the development issuer works in the embedded mode only; configure your identity provider"
            )
        if any(network.prefixlen == 0 for network in self.trusted_proxies):
            raise ValueError("CONCORDAT_TRUSTED_PROXIES names everybody; name the networks of your proxies")
        if self.environment == "production":
            insecure = [
                i.issuer for i in self.issuers if i.jwks_url and not i.jwks_url.startswith("https://")
            ]
            if insecure:
                raise ValueError(f"production wants https for the keys of {', '.join(insecure)}")
        if self.bus == "kafka" and not self.kafka_bootstrap:
            raise ValueError(
                "set CONCORDAT_KAFKA_BOOTSTRAP, or CONCORDAT_BUS=pglog with CONCORDAT_BUS_DATABASE_URL"
            )
        if self.bus == "pglog" and self.bus_database_url is None:
            raise ValueError("CONCORDAT_BUS=pglog needs CONCORDAT_BUS_DATABASE_URL")
        return self

    @model_validator(mode="after")
    def _refuse_bad_audit_keys(self) -> Self:
        if self.audit_key is None and self.environment not in ("embedded", "test"):
            raise ValueError("set CONCORDAT_AUDIT_KEY to the base64 form of 32 random bytes, or to a PEM")
        self.audit_keys("")
        return self

    @model_validator(mode="after")
    def _refuse_tracing_without_its_packages(self) -> Self:
        if self.tracing and (missing := telemetry.missing_packages()):
            raise ValueError(
                f"CONCORDAT_TRACING is on, but {' and '.join(missing)} cannot be imported; install "
                "opentelemetry-sdk and opentelemetry-exporter-otlp-proto-http (the extra otel), or switch it off"
            )
        return self

    def audit_keys(self, service: str) -> KeyRing:
        """The keys of the service's audit checkpoints; without a setting, derived from its database password."""
        retired = tuple(VerifyingKey.from_pem(pem) for pem in self.audit_retired_keys)
        if self.audit_key is not None:
            return KeyRing(SigningKey.from_text(self.audit_key.get_secret_value()), retired)
        password = urlsplit(self.database_url.get_secret_value()).password or ""
        return KeyRing(SigningKey.derived(password, service), retired)


def settings_config(service: str) -> SettingsConfigDict:
    """The pydantic-settings configuration of one service, for example `settings_config("CHANGES")`."""
    return SettingsConfigDict(env_prefix=f"{service}_", extra="ignore", frozen=True)
