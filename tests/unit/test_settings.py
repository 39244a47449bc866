"""Unsafe settings stop a service at start, with a sentence that says what to change."""

import pytest
from pydantic import ValidationError

from shared.settings import KernelSettings, settings_config

DEVELOPMENT = {"issuer": "https://dev", "jwks_file": "/tmp/x", "development": True}
PLAIN = {"issuer": "https://idp", "jwks_url": "http://idp/jwks"}
BASE = {"database_url": "postgresql://x", "kafka_bootstrap": "kafka:9092"}


class Settings(KernelSettings):
    model_config = settings_config("CHANGES")


@pytest.mark.parametrize("environment", ["development", "production"])
def test_the_development_issuer_is_refused_outside_the_embedded_mode(environment: str) -> None:
    with pytest.raises(ValidationError, match="development issuer works in the embedded mode only"):
        Settings(environment=environment, issuers=(DEVELOPMENT,), **BASE)
    assert Settings(environment="embedded", issuers=(DEVELOPMENT,), **BASE)


def test_production_wants_https_for_keys() -> None:
    with pytest.raises(ValidationError, match="https"):
        Settings(environment="production", issuers=(PLAIN,), **BASE)
    assert Settings(environment="development", issuers=(PLAIN,), **BASE)


@pytest.mark.parametrize(("bus", "missing"), [("kafka", "KAFKA_BOOTSTRAP"), ("pglog", "BUS_DATABASE_URL")])
def test_a_bus_without_an_address_is_refused(bus: str, missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        Settings(database_url="postgresql://x", bus=bus)


def test_an_issuer_has_exactly_one_source_of_keys() -> None:
    for sources in ({}, {"jwks_url": "https://a", "jwks_file": "/b"}):
        with pytest.raises(ValidationError, match="exactly one"):
            Settings(issuers=({"issuer": "https://idp"} | sources,), **BASE)


def test_a_service_setting_wins_over_the_shared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORDAT_DATABASE_URL", "postgresql://shared")
    monkeypatch.setenv("CONCORDAT_KAFKA_BOOTSTRAP", "shared:9092")
    monkeypatch.setenv("CHANGES_DATABASE_URL", "postgresql://own")
    settings = Settings()
    assert settings.database_url.get_secret_value() == "postgresql://own"
    assert settings.kafka_bootstrap == "shared:9092"
