"""Fingerprints of bytes."""

from hashlib import sha256


def sha256_hex(text: bytes) -> str:
    """SHA-256 of the bytes as 64 hexadecimal digits."""
    return sha256(text).hexdigest()
