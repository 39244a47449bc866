"""The text of a charter as it is written down to be signed, and the zone its dates begin in."""

from collections.abc import Iterator
from typing import Final

from services.charter.charters.domain.findings import Finding
from shared.contracts.governance import ExecutableCharter
from shared.pure.canonical import canonical_json

LARGEST_TEXT: Final = 240 * 1024
"""In bytes. The text travels whole in an event, which has at most 256 KiB and needs some of them for itself."""


def written(content: ExecutableCharter) -> bytes:
    """The text in `TEXT_FORMAT`: RFC 8785 JSON in UTF-8. Written once, when it is drafted; signed and kept as it is."""
    return canonical_json(content).encode()


def size_findings(text: bytes) -> Iterator[Finding]:
    """Whether the text can be told to the other services when it comes into force."""
    if len(text) > LARGEST_TEXT:
        message = f"The text has {len(text)} bytes; at most {LARGEST_TEXT} can be put into force. Shorten it."
        yield Finding("text_too_large", message, "")


def charter_zone(content: ExecutableCharter) -> str:
    """The zone in which the charter's own dates begin: that of its first calendar."""
    return content.calendars[0].zone
