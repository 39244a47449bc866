"""Structured JSON logs in UTC, with request ids and secrets removed."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_SECRET_KEYS = re.compile(r"(?i)authorization|token|secret|password|signature|cookie|_url$")
_SECRET_VALUES = re.compile(
    r"(whsec_[A-Za-z0-9+/=]+|[Bb]earer\s+[A-Za-z0-9._\-]+|(?<=://)[^/@\s]+:[^/@\s]+(?=@))"
)
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def redact(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: values that are secret by name or by shape never reach a log."""
    for key, value in entry.items():
        if _SECRET_KEYS.search(key):
            entry[key] = "[redacted]"
        elif isinstance(value, str):
            entry[key] = _SECRET_VALUES.sub("[redacted]", value)
    return entry


def configure(level: str, service: str) -> None:
    """Set up logging of this process; the last call wins."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
