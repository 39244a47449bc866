"""Requests as routes meet them: bounded, strict in their JSON, with ETag and If-Match."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request, Response
from starlette.datastructures import FormData
from starlette.types import Receive, Scope

from shared.data.session import Versioned
from shared.pure.strict_json import Ambiguous, strict_decoder
from shared.web.problems import BadRequest, PreconditionRequired, TooLarge, UnsupportedMedia

MAX_DEPTH = 32
_JSON = strict_decoder()
_LENGTH_DIGITS = 18
# Possessive, and content with a missing end: otherwise an unclosed string costs quadratic time.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
R = TypeVar("R", bound=Versioned)


class StrictRequest(Request):
    """A request with a bounded body, whose JSON is refused when two readers could understand it differently."""

    max_bytes: int = 0

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.digest = hashlib.sha256()
        """Of the body as received: what an idempotency key is bound to."""

    async def stream(self) -> AsyncGenerator[bytes, None]:
        if hasattr(self, "_body"):
            yield self._body
            return
        self._refuse_beyond(_declared(self.headers.get("content-length", "0")))
        received = 0
        async for chunk in super().stream():
            received += len(chunk)
            self._refuse_beyond(received)
            self.digest.update(chunk)
            yield chunk

    def _refuse_beyond(self, received: int) -> None:
        if received > self.max_bytes:
            raise TooLarge("body_too_large", f"The body may have at most {self.max_bytes} bytes.")

    async def json(self) -> object:
        return parse_json(await self.body())

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_encoded(self) -> bool:
        """Whether the body would have to be unpacked first, which it never is: no zip bomb is ever opened."""
        return self.headers.get("content-encoding", "identity") != "identity"

    def require_media(self, *accepted: str) -> None:
        """415 unless the body is of one of these types, uncompressed."""
        if self.is_encoded:
            raise UnsupportedMedia("unsupported_encoding", "Send the body uncompressed.")
        if self.media_type not in accepted:
            raise UnsupportedMedia(
                "unsupported_media_type",
                f"Send the body as {' or '.join(accepted)}, and say so in Content-Type.",
            )

    def take_field(self, name: str) -> str | None:
        """The text of a field of the received form, which is then no longer in it; None where there is no form."""
        form = self._form
        if form is None:
            return None
        value = form.get(name)
        self._form = FormData([item for item in form.multi_items() if item[0] != name])
        return value if isinstance(value, str) else None


def _declared(length: str) -> int:
    """The bytes a client declares; 0 for what is no length, since they are counted anyway."""
    is_length = length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS
    return int(length) if is_length else 0


def parse_json(body: bytes) -> object:
    """JSON as UTF-8, at most 32 levels deep, no NaN or infinities, no duplicate names (RFC 8259, RFC 7493)."""
    if _depth(body) > MAX_DEPTH:
        raise BadRequest("json_too_deep", f"The body nests deeper than {MAX_DEPTH} levels.")
    try:
        text = body.decode("utf-8")
        return _JSON.decode(text)
    except UnicodeDecodeError:
        raise BadRequest("not_utf8", "Send the body as UTF-8.") from None
    except Ambiguous as error:
        raise BadRequest(error.code, f"The body is not JSON for every reader: {error}.") from None
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


def tagged(response: Response, row: R) -> R:
    """The row, with its version in the answer's ETag (RFC 9110); `answers.finished` adds the content's hash."""
    response.headers["ETag"] = f'"{row.version}-"' if row.changes_silently else f'"{row.version}"'
    return row


async def _if_match(if_match: Annotated[str | None, Header()] = None) -> int:
    if if_match is None:
        raise PreconditionRequired
    digits, _, _ = if_match.strip().removeprefix('"').removesuffix('"').partition("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise BadRequest("malformed_if_match", 'If-Match takes the ETag you read, for example "3".')
    return int(digits)


IfMatch = Annotated[int, Depends(_if_match)]
