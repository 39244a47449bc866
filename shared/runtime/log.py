"""Structured logs: one JSON object a line, in UTC, with request and trace ids and with secrets removed.

The standard library's loggers (the bus, the server, the drivers) go through the same chain.
"""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping, Sequence, Set
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import structlog
from opentelemetry import trace
from structlog.typing import ExcInfo, Processor

Entry = MutableMapping[str, Any]

REDACTED: Final = "[redacted]"
LONGEST_TEXT: Final = 4096
LONGEST_TRACEBACK: Final = 8192
LONGEST_CAUSE: Final = 1024
LAST_FRAMES: Final = 12
DEEPEST: Final = 6
MOST_ITEMS: Final = 50
HANDLER: Final = "concordat"

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_FIRST: Final = ("timestamp", "level", "service", "event")
_OWN_LOGGERS: Final = ("shared", "services")

_SECRET_KEYS: Final = re.compile(
    r"(?i)authorization|token|secret|passw|passphrase|signature|cookie|credential|private_?key|api[-_]?key"
    r"|_(?:url|uri|dsn)$|^(?:body|payload|excerpt|parameters)$"
)
_SECRET_VALUES: Final = re.compile(
    r"wh(?:sec|sk)_[A-Za-z0-9+/=]+"
    r"|(?i:\bbearer\s+[A-Za-z0-9._~+/=-]{8,})"
    r"|(?i:\bbasic\s+[A-Za-z0-9+/=]{16,})"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|(?<=://)[^/\s@:]*:[^/\s@]+(?=@)"
    r"|(?i:(?:password|passwd|secret|token|api_?key)[\"']?(?:=[\"']?|:\s*[\"'])[^\s\"'&,;]+)"
    # Errors of the database and of validation repeat the row or the input they refuse.
    r"|DETAIL:[\s\S]+"
    r"|\[parameters: [\s\S]+"
    r"|(?<=input_value=)[\s\S]+?(?=, input_type=|\Z)"
)
# Every form above holds one of these, and most short texts none: ten times cheaper to find out.
_SUSPICIOUS: Final = re.compile(r"[=:\s]|whs|eyJ")


def redact(_: object, __: str, entry: Entry) -> Entry:
    """A structlog processor: what is secret by name or by shape never reaches a log, however deeply it lies.

    What remains is plain JSON of a bounded size; content of requests and events is left out by name.
    """
    for key, value in entry.items():
        longest = LONGEST_TRACEBACK if key == "exception" else LONGEST_TEXT
        entry[key] = REDACTED if _is_secret(key) else _plain(value, longest)
    return entry


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return _SECRET_KEYS.search(name) is not None


def _plain(value: object, longest: int = LONGEST_TEXT, depth: int = 0) -> object:
    if isinstance(value, str):
        return _text(value, longest)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if not isinstance(value, Mapping | Sequence | Set):
        return _text(value, longest)
    if depth == DEEPEST:
        return "[...]"
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth + 1)
    return [_plain(item, depth=depth + 1) for item in islice(value, MOST_ITEMS)]


def _plain_mapping(value: Mapping[Any, object], depth: int) -> dict[str, object]:
    items = [(_text(key), item) for key, item in islice(value.items(), MOST_ITEMS)]
    return {key: REDACTED if _is_secret(key) else _plain(item, depth=depth) for key, item in items}


def _text(value: object, longest: int = LONGEST_TEXT) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception as error:  # a log line must not fail because of what it tells
        return f"[{type(value).__name__} that cannot be shown: {type(error).__name__}]"
    # Cut generously before the search and exactly after it: a secret on the edge is still recognised.
    text = text[: 4 * longest]
    text = _SECRET_VALUES.sub(REDACTED, text) if _SUSPICIOUS.search(text) else text
    return text if len(text) <= longest else f"{text[:longest]}[...]"


def bounded_traceback(exc_info: ExcInfo) -> str:
    """The last frames of an error and of its causes, redacted; never more than 8 KiB.

    The end is kept: it names the error that was raised last.
    """
    summary = traceback.TracebackException(
        *exc_info, limit=-LAST_FRAMES, max_group_width=3, max_group_depth=2
    )
    parts = [_text(part, LONGEST_CAUSE) for part in summary.format()]
    text = "".join(part if part.endswith("\n") else f"{part}\n" for part in parts).rstrip("\n")
    return text if len(text) <= LONGEST_TRACEBACK else "[...]" + text[5 - LONGEST_TRACEBACK :]


def add_trace(_: object, __: str, entry: Entry) -> Entry:
    """A structlog processor: the ids of the span the entry was written in, as W3C Trace Context writes them."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = trace.format_trace_id(context.trace_id)
        entry["span_id"] = trace.format_span_id(context.span_id)
    return entry


def render(_: object, __: str, entry: Entry) -> str:
    """One line of ASCII: JSON escapes every line separator there is."""
    first = {key: entry[key] for key in _FIRST if key in entry}
    return json.dumps(first | dict(entry), default=str)


def configure(level: str, service: str) -> None:
    """Set up logging of this process; the last call wins. `service` names lines that no service bound."""
    chain = _chain(service)
    structlog.configure(
        processors=[*chain, render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=_STDERR),
        cache_logger_on_first_use=False,
    )
    _configure_standard_loggers(_LEVELS[level], chain)


def _chain(service: str) -> list[Processor]:
    def add_service(_: object, __: str, entry: Entry) -> Entry:
        entry.setdefault("service", service)
        return entry

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        add_trace,
        structlog.processors.ExceptionRenderer(bounded_traceback),
        redact,
    ]


def _configure_standard_loggers(level: int, chain: list[Processor]) -> None:
    """Libraries speak from warnings on; our own modules at the level that was asked for."""
    handler = logging.StreamHandler(_STDERR)
    handler.set_name(HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [known for known in root.handlers if known.get_name() != HANDLER] + [handler]
    root.setLevel(max(level, logging.WARNING))
    for name in _OWN_LOGGERS:
        logging.getLogger(name).setLevel(level)


class _StandardError:
    """Whatever `sys.stderr` is when a line is written: tests and supervisors replace it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_STDERR: Any = _StandardError()
