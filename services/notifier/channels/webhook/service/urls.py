"""The address of an endpoint as its owner may write it: checked and brought into one form."""

import re
from urllib.parse import SplitResult, quote, urlsplit

import idna

from services.notifier.channels.webhook.domain.addresses import (
    LONGEST_URL,
    Blocked,
    EgressPolicy,
    parsed,
    vet,
)
from shared.pure.refusal import Invalid

DEFAULT_PORTS = {"https": 443, "http": 80}
POINTER = "/url"
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\@#\u2028\u2029]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)")


def endpoint_url(text: str, policy: EgressPolicy) -> str:
    """The canonical form of `text`, or `Invalid`, which says what is wrong with it.

    Names are not resolved here: what they resolve to is judged at every connection.
    """
    parts = _split(text)
    host = ascii_host(parts.hostname or "")
    port = _port(parts)
    if not policy.allows_port(port):
        raise _refused("port_not_allowed", f"Port {port} is not among the ports this deployment allows.")
    _check_target(host, policy, encrypted=parts.scheme == "https")
    netloc = _bracketed(host) + ("" if port == DEFAULT_PORTS[parts.scheme] else f":{port}")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/?%:@!$&'()*+,;=~-._")
    return f"{parts.scheme}://{netloc}{path}" + (f"?{query}" if query else "")


def _split(text: str) -> SplitResult:
    # Before parsing: parsers disagree on backslashes, userinfo and control characters.
    if len(text) > LONGEST_URL or _FORBIDDEN.search(text):
        raise _refused(
            "bad_url",
            f"Up to {LONGEST_URL} characters; no spaces, backslash, user name, '#' or control characters.",
        )
    try:
        parts = urlsplit(text)
    except ValueError:
        raise _refused("bad_url", "This is not a URL.") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _refused("bad_url", "Start with https:// and a host name.")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise _refused("bad_url", "The port is not a number from 1 to 65535.") from None
    return DEFAULT_PORTS[parts.scheme] if port is None else port


def ascii_host(host: str) -> str:
    """A host name or address in the one form that is stored: lower case, IDNA ASCII, no trailing dot."""
    if ":" in host:
        return _literal(host)
    try:
        name = idna.encode(host, uts46=True).decode() if not host.isascii() else host.lower()
    except idna.IDNAError:
        raise _refused("bad_host", "The host name is not a valid international name.") from None
    name = name.rstrip(".")
    labels = name.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        return _literal(name)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused("bad_host", "The host name is not valid.")
    return name


def _literal(host: str) -> str:
    """An address; what resolvers would read as one (`127.1`, `0x7f000001`) is no other name for it."""
    try:
        return str(parsed(host))
    except Blocked as blocked:
        raise _refused(blocked.reason, f"{blocked}.") from None


def _check_target(host: str, policy: EgressPolicy, *, encrypted: bool) -> None:
    if ":" in host or _NUMERIC_LABEL.fullmatch(host.rsplit(".", 1)[-1]):
        try:
            vet(host, policy, host=host, encrypted=encrypted)
        except Blocked as blocked:
            raise _refused(blocked.reason, f"{blocked}.") from None
    elif not encrypted and not policy.allows_host(host) and not policy.networks:
        raise _refused("http_not_allowed", "Use https; this deployment allows plain http nowhere.")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _refused(code: str, message: str) -> Invalid:
    return Invalid(code, message, POINTER)
