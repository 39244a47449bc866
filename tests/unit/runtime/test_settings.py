"""Unsafe settings stop a service at start, with a sentence that says what to change."""

import base64

import pytest
from pydantic import ValidationError

from shared.runtime.settings import KernelSettings, settings_config

DEVELOPMENT = {"issuer": "https://dev", "jwks_file": "/tmp/x", "development": True}
PLAIN = {"issuer": "https://idp", "jwks_url": "http://idp/jwks"}
AUDIT_KEY, NEWER_AUDIT_KEY = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
BASE = {"database_url": "postgresql://x", "kafka_bootstrap": "kafka:9092", "audit_key": AUDIT_KEY}


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
    monkeypatch.setenv("CONCORDAT_AUDIT_KEY", AUDIT_KEY)
    monkeypatch.setenv("CHANGES_DATABASE_URL", "postgresql://own")
    settings = Settings()
    assert settings.database_url.get_secret_value() == "postgresql://own"
    assert settings.kafka_bootstrap == "shared:9092"


@pytest.mark.parametrize("environment", ["development", "production"])
def test_audit_checkpoints_need_a_key_outside_the_embedded_mode(environment: str) -> None:
    with pytest.raises(ValidationError, match="CONCORDAT_AUDIT_KEY"):
        Settings(environment=environment, **BASE | {"audit_key": None})
    with pytest.raises(ValidationError, match="neither a PEM nor base64"):
        Settings(environment=environment, **BASE | {"audit_key": "not a key"})


def test_the_embedded_mode_derives_the_same_audit_key_at_every_start_and_another_per_service() -> None:
    url = {"database_url": "postgresql://role:secret@localhost/concordat", "audit_key": None}
    start, again = (Settings(environment="embedded", **BASE | url) for _ in range(2))
    assert start.audit_keys("sla").signing.public.key_id == again.audit_keys("sla").signing.public.key_id
    assert start.audit_keys("sla").signing.public.key_id != start.audit_keys("charter").signing.public.key_id


def test_a_retired_audit_key_is_still_published() -> None:
    retired = Settings(environment="embedded", **BASE).audit_keys("sla").signing.public
    settings = Settings(**BASE | {"audit_key": NEWER_AUDIT_KEY, "audit_retired_keys": (retired.pem,)})
    published = settings.audit_keys("sla").published
    assert [key.key_id == retired.key_id for key in published] == [False, True]
