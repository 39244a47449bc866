"""Seals the secrets of endpoints: AES-256-GCM under a deployment key that the database never sees."""

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.notifier.endpoints.domain import Purpose

KEY_BYTES = 32
NONCE_BYTES = 12


class CannotUnseal(Exception):
    """The key is unknown, or the sealed text belongs elsewhere or was altered."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a secret belongs. It is authenticated, so a row copied elsewhere does not open."""

    org_id: UUID
    endpoint_id: UUID
    version: int
    purpose: Purpose

    @property
    def bound(self) -> bytes:
        return f"{self.org_id}|{self.endpoint_id}|{self.version}|{self.purpose}".encode()


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A secret as it is stored."""

    key_id: str
    nonce: bytes
    ciphertext: bytes


class Vault:
    """Seals with the first key; opens with any, so that a key can be replaced while both are known."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self._current = next(iter(self._ciphers))

    @property
    def current_key_id(self) -> str:
        return self._current

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The keys it opens with."""
        return tuple(self._ciphers)

    def seal(self, secret: str, place: Place) -> Sealed:
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = self._ciphers[self._current].encrypt(nonce, secret.encode(), place.bound)
        return Sealed(key_id=self._current, nonce=nonce, ciphertext=ciphertext)

    def unseal(self, sealed: Sealed, place: Place) -> str:
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise CannotUnseal(f"no key {sealed.key_id} is configured")
        try:
            return cipher.decrypt(sealed.nonce, sealed.ciphertext, place.bound).decode()
        except InvalidTag:
            raise CannotUnseal("the secret was altered or belongs to another place") from None

    def is_current(self, sealed: Sealed) -> bool:
        return sealed.key_id == self._current

    def rewrap(self, sealed: Sealed, place: Place) -> Sealed:
        """The same secret under the current key."""
        return sealed if self.is_current(sealed) else self.seal(self.unseal(sealed, place), place)


def vault_key(text: str) -> bytes:
    """The 32 key bytes in their base64 form; `ValueError` when they are not that."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError("a secret key is the base64 form of 32 random bytes")
    return key


def new_vault_key() -> str:
    """A fresh key in its base64 form."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def key_id(key: bytes) -> str:
    """A name for a key that does not give it away."""
    return hashlib.sha256(b"concordat vault key|" + key).hexdigest()[:16]
