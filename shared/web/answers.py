"""What a route answers with, beside JSON: pages, files and streams; and 304 for what the client has already."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterable
from typing import Final
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

HEAD_ONLY: Final = "concordat.head"
"""In the ASGI scope of a HEAD request: an answer that is costly to write out may leave its body away."""
_ASCII_NAME: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


class HtmlPage(Response):
    """A page: its own style is allowed by hash, forms go to this host, and nothing else may load."""

    media_type = "text/html"

    def __init__(self, content: str, style: str = "", status_code: int = 200) -> None:
        allowed = (
            f"'sha256-{b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" if style else "'none'"
        )
        policy = f"default-src 'none'; style-src {allowed}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        super().__init__(content, status_code, headers={"Content-Security-Policy": policy})


class Streamed(StreamingResponse):
    """An answer written while it is made; HEAD gets its headers and makes nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get(HEAD_ONLY):
            self.body_iterator = _nothing()
        await super().__call__(scope, receive, send)


async def _nothing() -> AsyncIterable[bytes]:
    return
    yield


class FileAnswer(Streamed):
    """A file to save under `filename`, which may hold any character."""

    def __init__(self, content: AsyncIterable[str | bytes], filename: str, media_type: str) -> None:
        super().__init__(
            content, media_type=media_type, headers={"Content-Disposition": attachment(filename)}
        )


def attachment(filename: str) -> str:
    """The Content-Disposition of a download (RFC 6266): plain for old readers, exact for others."""
    plain = "".join(c if c in _ASCII_NAME else "_" for c in filename)
    exact = "" if plain == filename else f"; filename*=UTF-8''{quote(filename, safe='')}"
    return f'attachment; filename="{plain}"{exact}'


def finished(request: Request, response: Response) -> Response:
    """The answer with its ETag; 304 instead when the client has it already (RFC 9110, 13.1.2).

    What has no version of its own gets a weak tag of its content. A tag that ends in a dash is of a row that
    changes without a new version, and gets its content's hash.
    """
    if isinstance(response, StreamingResponse) or response.status_code >= 300:
        return response
    tag = response.headers.get("etag", "")
    if tag.endswith('-"'):
        tag = response.headers["ETag"] = f'{tag[:-1]}{_hash(response)}"'
    if request.method != "GET":
        return response
    if not tag:
        tag = response.headers["ETag"] = f'W/"{_hash(response)}"'
    if not _names(request.headers.get("if-none-match", ""), tag):
        return response
    return Response(status_code=304, headers={"ETag": tag})


def _hash(response: Response) -> str:
    return hashlib.blake2b(response.body, digest_size=9).hexdigest()


def _names(condition: str, tag: str) -> bool:
    """Whether If-None-Match names the tag; weakness does not count here."""
    if condition.strip() == "*":
        return True
    return tag.removeprefix("W/") in (each.strip().removeprefix("W/") for each in condition.split(","))
