"""The text of a charter as it is written down to be signed, and the zone its dates begin in."""

from collections.abc import Iterator, Mapping
from typing import Final
from unicodedata import normalize

from shared.contracts.governance import ExecutableCharter
from shared.pure.canonical import canonical_bytes
from shared.pure.refusal import Finding, pointer

LARGEST_TEXT: Final = 240 * 1024
"""In bytes. The text travels whole in an event, which has at most 256 KiB and needs some of them for itself."""


def written(content: ExecutableCharter) -> bytes:
    """The text in `TEXT_FORMAT`: RFC 8785 JSON in UTF-8. Written once, when it is drafted; signed and kept as it is."""
    return canonical_bytes(content)


def comparable(service: str) -> str:
    """The name of a service as it is compared: `Payroll` and ` payroll` are one."""
    return " ".join(normalize("NFC", service).casefold().split())


def size_findings(text: bytes) -> Iterator[Finding]:
    """Whether the text fits into an event for the other services when it comes into force."""
    if len(text) > LARGEST_TEXT:
        message = f"The text has {len(text)} bytes; at most {LARGEST_TEXT} can be put into force. Shorten it."
        yield Finding("text_too_large", message, "")


def scope_findings(content: ExecutableCharter, governed: Mapping[str, str]) -> Iterator[Finding]:
    """Services that another charter of the same parties governs; `governed` has them as compared, with its number."""
    for index, service in enumerate(content.services_in_scope):
        number = governed.get(comparable(service))
        if number is not None:
            message = (
                f"{number} governs {service!r} between these parties. Leave it out, or let that charter end."
            )
            yield Finding("service_governed", message, pointer("services_in_scope", index))


def charter_zone(content: ExecutableCharter) -> str:
    """The zone in which the charter's own dates begin: that of its first calendar."""
    return content.calendars[0].zone
