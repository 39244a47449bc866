"""Bodies that no route may take: what clients, proxies and attackers send where JSON is expected."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from shared.web.requests import MAX_DEPTH

KIB = 1024
LIMIT = 256 * KIB


@dataclass(frozen=True)
class Spoiled:
    """A way to spoil a valid body, and the status it must be answered with."""

    name: str
    status: int
    content: Callable[[object], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False


def text(body: object) -> bytes:
    return json.dumps(body).encode()


def carrying(token: bytes, name: bytes = b'"odd"') -> Callable[[object], bytes]:
    """The valid body with one more member, whose value is the token."""

    def content(body: object) -> bytes:
        return text(body)[:-1] + (b", " if body else b"") + name + b": " + token + b"}"

    return content


def always(content: bytes) -> Callable[[object], bytes]:
    return lambda body: content


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + b"0" + closing * levels


async def in_chunks(content: bytes, size: int = 16 * KIB) -> AsyncIterator[bytes]:
    """The content without a declared length."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _twice(body: object) -> bytes:
    return text({"a": body})[:-1] + b', "a": 1}'


UNREADABLE = (
    Spoiled("not a number", 400, carrying(b"NaN")),
    Spoiled("infinity", 400, carrying(b"Infinity")),
    Spoiled("minus infinity", 400, carrying(b"-Infinity")),
    Spoiled("5000 digits", 400, carrying(b"9" * 5000)),
    Spoiled("raw control character", 400, carrying(b'"\x01"')),
    Spoiled("raw NUL", 400, carrying(b'"\x00"')),
    Spoiled("100,000 arrays", 400, always(nested(100_000, b"[", b"]"))),
    Spoiled("100,000 opening brackets", 400, always(b"[" * 100_000)),
    Spoiled("40,000 objects", 400, always(nested(40_000, b'{"a":', b"}"))),
    Spoiled("33 arrays", 400, carrying(nested(MAX_DEPTH, b"[", b"]"))),
    Spoiled("33 objects", 400, carrying(nested(MAX_DEPTH, b'{"a":', b"}"))),
    Spoiled("unclosed string of escapes", 400, always(b"[" * 33 + b'"' + b'\\"' * 120_000)),
    Spoiled("a name twice", 400, _twice),
    Spoiled("its first name twice", 400, lambda body: text(body)[:-1] + b", " + text(body)[1:]),
    Spoiled("UTF-16", 400, lambda body: json.dumps(body).encode("utf-16")),
    Spoiled("UTF-16 without a mark", 400, lambda body: json.dumps(body).encode("utf-16-le")),
    Spoiled("UTF-32", 400, lambda body: json.dumps(body).encode("utf-32")),
    Spoiled("UTF-8 with a mark", 400, lambda body: b"\xef\xbb\xbf" + text(body)),
    Spoiled("broken UTF-8", 400, carrying(b'"\xff\xfe"')),
    Spoiled("overlong UTF-8", 400, carrying(b'"\xc0\xaf"')),
    Spoiled("surrogate in UTF-8", 400, carrying(b'"\xed\xa0\x80"')),
    Spoiled("cut off", 400, lambda body: text(body)[:-1]),
    Spoiled("trailing words", 400, lambda body: text(body) + b" and more"),
    Spoiled("two documents", 400, lambda body: text(body) * 2),
    Spoiled("trailing comma", 400, lambda body: text(body)[:-1] + b",}"),
    Spoiled("comment", 400, lambda body: b"/* */" + text(body)),
    Spoiled("only spaces", 400, always(b"   ")),
)
UNFIT = (
    Spoiled("empty", 422, always(b"")),
    Spoiled("number too large for a float", 422, carrying(b"1e999")),
    Spoiled("lone surrogate as a value", 422, carrying(b'"\\ud800"')),
    Spoiled("lone surrogate as a name", 422, carrying(b"1", b'"\\ud800"')),
    Spoiled("NUL as a value", 422, carrying(b'"\\u0000"')),
    Spoiled("NUL as a name", 422, carrying(b"1", b'"\\u0000"')),
    Spoiled("control character as a name", 422, carrying(b"1", b'"\\u001b"')),
    Spoiled("32 levels", 422, carrying(nested(MAX_DEPTH - 1, b"[", b"]"))),
    Spoiled("unknown field", 422, carrying(b"1")),
    Spoiled("field of another's", 422, carrying(b'"0198c0de-0000-7000-8000-000000000000"', b'"org_id"')),
    Spoiled("15,000 unknown fields", 422, lambda body: text({f"k{n}": n for n in range(15_000)})),
    Spoiled("polluted prototype", 422, carrying(b'{"is_sysadmin": true}', b'"__proto__"')),
    Spoiled("number", 422, always(b"1")),
    Spoiled("string", 422, always(b'"x"')),
    Spoiled("truth", 422, always(b"true")),
    Spoiled("null", 422, always(b"null")),
    Spoiled("empty array", 422, always(b"[]")),
    Spoiled("the body in an array", 422, lambda body: text([body])),
)
TOO_LARGE = (
    Spoiled("one byte too many", 413, lambda body: text(body).ljust(LIMIT + 1)),
    Spoiled("one byte too many in chunks", 413, lambda body: text(body).ljust(LIMIT + 1), chunked=True),
    Spoiled("a length of 18 digits", 413, text, {"Content-Length": "9" * 18}),
)
OTHER_MEDIA = (
    Spoiled("plain text", 415, text, {"Content-Type": "text/plain"}),
    Spoiled("no type", 415, text, {"Content-Type": ""}),
    Spoiled("form", 415, text, {"Content-Type": "application/x-www-form-urlencoded"}),
    Spoiled("multipart", 415, text, {"Content-Type": "multipart/form-data; boundary=x"}),
    Spoiled("patch", 415, text, {"Content-Type": "application/merge-patch+json"}),
    Spoiled(
        "xml", 415, always(b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"), {"Content-Type": "text/xml"}
    ),
    Spoiled("gzip", 415, lambda body: gzip.compress(text(body)), {"Content-Encoding": "gzip"}),
    Spoiled("said to be brotli", 415, text, {"Content-Encoding": "br"}),
    Spoiled("twice encoded", 415, text, {"Content-Encoding": "identity, gzip"}),
)
CORPUS = (*UNREADABLE, *UNFIT, *TOO_LARGE, *OTHER_MEDIA)
