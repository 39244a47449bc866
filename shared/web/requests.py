"""HTTP conventions that routes share: strict JSON bodies, ETag and If-Match."""

import json
import re
from collections.abc import AsyncGenerator
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request, Response

from shared.data.session import Versioned
from shared.web.problems import BadRequest, PreconditionRequired, TooLarge, UnsupportedMedia

MAX_DEPTH = 32
_LENGTH_DIGITS = 18
# Possessive, and content with a missing end: otherwise an unclosed string costs quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
R = TypeVar("R", bound=Versioned)


class StrictRequest(Request):
    """A request with a bounded body, whose JSON is refused when two readers could understand it differently."""

    max_bytes: int = 0

    async def stream(self) -> AsyncGenerator[bytes, None]:
        self._refuse_beyond(_declared(self.headers.get("content-length", "0")))
        received = 0
        async for chunk in super().stream():
            received += len(chunk)
            self._refuse_beyond(received)
            yield chunk

    def _refuse_beyond(self, received: int) -> None:
        if received > self.max_bytes:
            raise TooLarge("body_too_large", f"The body may have at most {self.max_bytes} bytes.")

    async def json(self) -> object:
        return parse_json(await self.body())


def _declared(length: str) -> int:
    """The bytes a client announces; 0 for what is no length, since they are counted anyway."""
    is_length = length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS
    return int(length) if is_length else 0


def parse_json(body: bytes) -> object:
    """JSON as UTF-8, at most 32 levels deep, no NaN or infinities, no duplicate names (RFC 8259, RFC 7493)."""
    if _depth(body) > MAX_DEPTH:
        raise BadRequest("json_too_deep", f"The body nests deeper than {MAX_DEPTH} levels.")
    try:
        text = body.decode("utf-8")
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique_names)
    except UnicodeDecodeError:
        raise BadRequest("not_utf8", "Send the body as UTF-8.") from None
    except (json.JSONDecodeError, RecursionError):
        raise BadRequest("malformed_json", "The body is not valid JSON.") from None
    except ValueError:  # an integer of thousands of digits
        raise BadRequest("number_too_long", "A number has too many digits.") from None


def _depth(body: bytes) -> int:
    """How deep the body nests; brackets inside strings do not count."""
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _no_constant(name: str) -> object:
    raise BadRequest("not_a_number", f"{name} is not JSON.")


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadRequest("duplicate_name", "A JSON object names a field twice.")
    return found


def require_json(request: Request) -> None:
    """415 unless the body is plain JSON. Compressed bodies are refused, so no zip bomb is ever opened."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedMedia("unsupported_encoding", "Send the body uncompressed.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia("unsupported_media_type", "Send the body as application/json.")


def tagged(response: Response, row: R) -> R:
    """The row, with its version in the answer's ETag (RFC 9110)."""
    response.headers["ETag"] = f'"{row.version}"'
    return row


async def _if_match(if_match: Annotated[str | None, Header()] = None) -> int:
    if if_match is None:
        raise PreconditionRequired
    digits = if_match.strip().removeprefix('"').removesuffix('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadRequest("malformed_if_match", 'If-Match takes the ETag you read, for example "3".')
    return int(digits)


IfMatch = Annotated[int, Depends(_if_match)]
