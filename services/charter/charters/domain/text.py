"""The text of a charter as it is written down to be signed, and the zone its dates begin in."""

from shared.contracts.governance import ExecutableCharter
from shared.pure.canonical import canonical_json


def written(content: ExecutableCharter) -> bytes:
    """The text in `TEXT_FORMAT`: RFC 8785 JSON in UTF-8. Written once, when it is drafted; signed and kept as it is."""
    return canonical_json(content).encode()


def charter_zone(content: ExecutableCharter) -> str:
    """The zone in which the charter's own dates begin: that of its first calendar."""
    return content.calendars[0].zone
