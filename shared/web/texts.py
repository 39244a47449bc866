"""Signed and attested texts over HTTP: the stored bytes as they are, never written anew, and their hash."""

from typing import Any, Protocol

from fastapi import Response

CONTENT_HASH = "Content-Hash"
TEXT_FORMAT = "Text-Format"
TEXT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stored bytes.",
        "content": {"application/json": {"schema": {"description": "In the form that `Text-Format` names."}}},
        "headers": {
            CONTENT_HASH: {
                "description": "SHA-256 of these bytes, as 64 hexadecimal digits.",
                "schema": {"type": "string"},
            },
            TEXT_FORMAT: {
                "description": "How they are written; 1 is RFC 8785 JSON.",
                "schema": {"type": "integer"},
            },
        },
    }
}
"""For `responses` of a route that answers with `verbatim`."""


class Versioned(Protocol):
    """A row with an ETag."""

    version: int


def verbatim(row: Versioned, text: bytes, content_hash: str, text_format: int) -> Response:
    """The bytes of a text that belongs to the row, with what a reader needs to check them."""
    headers = {CONTENT_HASH: content_hash, TEXT_FORMAT: str(text_format), "ETag": f'"{row.version}"'}
    return Response(text, media_type="application/json", headers=headers)
