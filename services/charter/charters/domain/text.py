"""The text of a charter as it is stored and hashed, and the zone its dates begin in."""

import json

from shared.contracts.governance import ExecutableCharter
from shared.pure.canonical import canonical_json


def as_document(content: ExecutableCharter) -> dict[str, object]:
    """The text as JSON whose hash anybody can recompute from what they were sent (RFC 8785)."""
    document: dict[str, object] = json.loads(canonical_json(content))
    return document


def charter_zone(content: ExecutableCharter) -> str:
    """The zone in which the charter's own dates begin: that of its first calendar."""
    return content.calendars[0].zone
