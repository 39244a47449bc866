"""Secrets are sealed to one place, and leave no trace in what is stored or shown."""

import base64
import os
from dataclasses import replace
from uuid import UUID

import pytest

from services.notifier.channels.webhook.domain.redaction import MASK, excerpt, redacted
from services.notifier.endpoints.service.vault import (
    CannotUnseal,
    Place,
    Purpose,
    Vault,
    new_vault_key,
    vault_key,
)

PLACE = Place(org_id=UUID(int=1), endpoint_id=UUID(int=2), version=1, purpose=Purpose.signing)
OLD, NEW = os.urandom(32), os.urandom(32)


def test_a_sealed_secret_opens_in_its_place():
    vault = Vault([OLD])
    assert vault.unseal(vault.seal("whsec_abc", PLACE), PLACE) == "whsec_abc"


def test_sealing_twice_gives_different_ciphertexts():
    vault = Vault([OLD])
    assert vault.seal("whsec_abc", PLACE) != vault.seal("whsec_abc", PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(PLACE, org_id=UUID(int=9)),
        replace(PLACE, endpoint_id=UUID(int=9)),
        replace(PLACE, version=2),
        replace(PLACE, purpose=Purpose.authorization),
    ],
    ids=["organization", "endpoint", "version", "purpose"],
)
def test_a_sealed_secret_does_not_open_elsewhere(elsewhere):
    vault = Vault([OLD])
    with pytest.raises(CannotUnseal):
        vault.unseal(vault.seal("whsec_abc", PLACE), elsewhere)


def test_an_altered_secret_does_not_open():
    vault = Vault([OLD])
    sealed = vault.seal("whsec_abc", PLACE)
    altered = replace(sealed, ciphertext=bytes([sealed.ciphertext[0] ^ 1]) + sealed.ciphertext[1:])
    with pytest.raises(CannotUnseal, match="altered"):
        vault.unseal(altered, PLACE)


def test_a_secret_under_a_forgotten_key_says_which_key_is_missing():
    sealed = Vault([OLD]).seal("whsec_abc", PLACE)
    with pytest.raises(CannotUnseal, match=sealed.key_id):
        Vault([NEW]).unseal(sealed, PLACE)


def test_a_key_is_replaced_by_wrapping_again():
    sealed = Vault([OLD]).seal("whsec_abc", PLACE)
    both = Vault([NEW, OLD])
    assert not both.is_current(sealed)
    wrapped = both.rewrap(sealed, PLACE)
    assert Vault([NEW]).unseal(wrapped, PLACE) == "whsec_abc"
    assert both.rewrap(wrapped, PLACE) is wrapped


def test_the_name_of_a_key_does_not_hold_it():
    sealed = Vault([OLD]).seal("x", PLACE)
    assert sealed.key_id not in OLD.hex()


@pytest.mark.parametrize("bad", ["", "short", base64.b64encode(b"x" * 31).decode(), "?" * 44])
def test_a_bad_key_is_refused_at_start_up(bad):
    with pytest.raises(ValueError, match="32"):
        vault_key(bad)


def test_a_new_key_is_a_good_key():
    assert len(vault_key(new_vault_key())) == 32


@pytest.mark.parametrize(
    "text",
    [
        "your secret is whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!",
        "Authorization: Bearer abc.def-ghi",
        '{"authorization": "Basic dXNlcjpwYXNz"}',
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "got v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= but",
        "BEARER abcdef",
    ],
)
def test_secrets_are_taken_out_of_text(text):
    clean = redacted(text)
    assert MASK in clean
    for secret in ("MfKQ9r8", "abc.def", "dXNlcjpwYXNz", "g0hM9SsE", "abcdef"):
        assert secret not in clean


def test_ordinary_text_stays():
    assert redacted("incident INC0010042 created at 12:00") == "incident INC0010042 created at 12:00"


def test_an_excerpt_fits_two_kibibytes_and_postgresql():
    assert len(excerpt("é".encode() * 40_000).encode()) <= 2048
    assert "\x00" not in excerpt(b"a\x00b\xff")


def test_an_excerpt_shows_no_half_secret_at_its_edge():
    body = b"x" * 2030 + b" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert "MfKQ9r8" not in excerpt(body)
    assert "whsec_" not in excerpt(b"x" * 2020 + b" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
