"""The keys of audit checkpoints: Ed25519, or ECDSA on P-256 with SHA-256 where a validated module lacks Ed25519.

Signatures are what OpenSSL makes and checks (ECDSA in DER), so nobody needs our tools to check one.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
_SEED_BYTES = 32
_ECDSA = ec.ECDSA(hashes.SHA256())


@dataclass(frozen=True)
class VerifyingKey:
    """A public key that may vouch for checkpoints."""

    key: PublicKey

    @classmethod
    def from_pem(cls, pem: str) -> Self:
        """`ValueError` unless it is the PEM of an Ed25519 or P-256 public key."""
        return cls(_supported(serialization.load_pem_public_key(pem.encode())))

    @property
    def pem(self) -> str:
        return self._encoded(serialization.Encoding.PEM).decode()

    @property
    def key_id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the key (SubjectPublicKeyInfo, DER)."""
        return hashlib.sha256(self._encoded(serialization.Encoding.DER)).hexdigest()[:16]

    @property
    def algorithm(self) -> str:
        return "Ed25519" if isinstance(self.key, ed25519.Ed25519PublicKey) else "ECDSA-P256-SHA256"

    def signed(self, text: str, signature: bytes) -> bool:
        """Whether the holder of this key signed the text (its UTF-8 bytes)."""
        try:
            if isinstance(self.key, ed25519.Ed25519PublicKey):
                self.key.verify(signature, text.encode())
            else:
                self.key.verify(signature, text.encode(), _ECDSA)
        except InvalidSignature:
            return False
        return True

    def _encoded(self, encoding: serialization.Encoding) -> bytes:
        return self.key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class SigningKey:
    """A private key a service signs its checkpoints with."""

    key: PrivateKey

    @classmethod
    def from_text(cls, text: str) -> Self:
        """From a PEM, or base64 of a PEM or of the 32 bytes of an Ed25519 key; `ValueError` for anything else."""
        raw = text.encode() if text.lstrip().startswith("-----BEGIN") else _decoded(text)
        if len(raw) == _SEED_BYTES:
            return cls(ed25519.Ed25519PrivateKey.from_private_bytes(raw))
        try:
            key = serialization.load_pem_private_key(raw, password=None)
        except (ValueError, TypeError):
            raise ValueError("not an unencrypted private key in PEM") from None
        if not isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("not an Ed25519 or P-256 key")
        _supported(key.public_key())
        return cls(key)

    @classmethod
    def derived(cls, secret: str, service: str) -> Self:
        """The key of an installation that was given none: always the same for the same secret and service."""
        seed = hmac.digest(secret.encode(), f"concordat.audit.{service}".encode(), "sha256")
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def public(self) -> VerifyingKey:
        return VerifyingKey(self.key.public_key())

    def sign(self, text: str) -> bytes:
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(text.encode())
        return self.key.sign(text.encode(), _ECDSA)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("neither a PEM nor base64") from None


def _supported(key: object) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("not an Ed25519 or P-256 key")


@dataclass(frozen=True)
class KeyRing:
    """A service's key, and the public keys it signed with before."""

    signing: SigningKey
    retired: tuple[VerifyingKey, ...] = ()

    @property
    def published(self) -> tuple[VerifyingKey, ...]:
        """Every key whose checkpoints still count, the current one first."""
        return (self.signing.public, *self.retired)
