"""Takes secrets out of text that is stored or shown: answers of receivers, errors, log values."""

import re

MASK = "[redacted]"
STORED_BYTES = 2048

_SECRETS = (
    re.compile(r"wh(?:sec|sk)_[A-Za-z0-9+/=_-]+"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]+"),
    re.compile(r"\bv1a?,[A-Za-z0-9+/=]{20,}"),
    re.compile(r"(?i)(?<=authorization)[\"']?\s*[:=]\s*[^\r\n,}]+"),
    re.compile(r"(?i)(?<=webhook-signature)[\"']?\s*[:=]\s*[^\r\n,}]+"),
)


def redacted(text: str) -> str:
    """`text` without webhook secrets, credentials and signatures."""
    for pattern in _SECRETS:
        text = pattern.sub(MASK, text)
    return text


def excerpt(body: bytes) -> str:
    """The first 2 KiB of an answer as text fit for storing: redacted, no NUL (PostgreSQL refuses it)."""
    if not body:
        return ""
    # Redacted before it is cut, so that a secret on the edge is not half shown.
    text = redacted(body[: 2 * STORED_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd"))
    return text.encode()[:STORED_BYTES].decode("utf-8", "ignore")
