"""Standard Webhooks signatures, version v1: HMAC-SHA256 over id, timestamp and the exact body."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

from shared.pure.refusal import Refused

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix, no secret
SECRET_BYTES = 32
SHORTEST_SECRET = 24
LONGEST_SECRET = 64
LONGEST_TIMESTAMP = 11


def new_secret() -> str:
    """A fresh signing secret in the form its owner keeps: `whsec_` and base64 of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def secret_key(secret: str) -> bytes:
    """The key bytes inside a `whsec_` secret; refuses other forms and lengths outside 24..64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not SHORTEST_SECRET <= len(key) <= LONGEST_SECRET:
        raise Refused("bad_signing_secret", "A signing secret is whsec_ and base64 of 24 to 64 bytes.")
    return key


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One `v1,<base64>` signature."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(secret_key(secret), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def signed_headers(
    secrets_newest_first: Sequence[str], message_id: str, now: datetime, body: bytes
) -> dict[str, str]:
    """The three webhook headers of one attempt, signed with every active secret (rotation overlap).

    The timestamp is this attempt's; the id is the delivery's and must hold no dot.
    """
    if "." in message_id:
        raise Refused("bad_message_id", "A message id holds no dot.")
    timestamp = int(now.timestamp())
    signatures = (signature(secret, message_id, timestamp, body) for secret in secrets_newest_first)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def is_signed(
    accepted_secrets: Sequence[str], message_id: str, timestamp: str, signatures: str, body: bytes
) -> bool:
    """Whether one of the signatures is by one of the secrets. All are compared, in constant time each."""
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > LONGEST_TIMESTAMP:
        return False
    wanted = [signature(secret, message_id, int(timestamp), body) for secret in accepted_secrets]
    given = signatures.encode().split(b" ")
    matches = [hmac.compare_digest(one.encode(), other) for one in wanted for other in given]
    return any(matches)
