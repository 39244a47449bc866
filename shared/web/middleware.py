"""The outermost layer of every service: request ids, spans, security headers, access log, request metrics."""

import re
import time
from hashlib import sha256
from typing import Any

import structlog
from opentelemetry.trace import INVALID_SPAN, Span, Status, StatusCode
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.data.ids import uuid7
from shared.runtime.telemetry import AUTH_FAILURES, REPLAYS, REQUEST_SECONDS, REQUESTS, server_span
from shared.web.answers import HEAD_ONLY
from shared.web.authz import NOBODY
from shared.web.problems import PROBLEM, unexpected

log = structlog.get_logger()

UNANSWERED = 499
PROBES = ("/healthz", "/readyz", "/metrics")
OTHER = "(other)"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_GIVEN_ID = re.compile(r"^[A-Za-z0-9._\-]{8,64}$")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"cross-origin-resource-policy": b"same-origin",
    b"strict-transport-security": b"max-age=31536000",
}
"""Every answer's, unless its handler set them itself."""


class Edge:
    """Plain ASGI middleware: it adds to answers and never touches bodies, but for those of HEAD, which have none.

    What no handler expected is answered here and not further out, so that this answer too has an id,
    its headers and its line in the log.
    """

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = _request_id(scope)
        exchange = _Exchange(scope, send)
        with structlog.contextvars.bound_contextvars(request_id=scope["request_id"], service=self._service):
            if exchange.is_probe:
                await self._serve(exchange, receive, INVALID_SPAN)
                return
            about = {"concordat.service": self._service, "http.request.method": exchange.method}
            with server_span(exchange.method, scope["headers"], about) as span:
                await self._serve(exchange, receive, span)

    async def _serve(self, exchange: "_Exchange", receive: Receive, span: Span) -> None:
        try:
            await self._app(exchange.scope, receive, exchange.send)
        except Exception as error:
            answer = await unexpected(Request(exchange.scope), error)
            if exchange.status != UNANSWERED:
                raise  # half an answer is out; only the server can cut it off
            await answer(exchange.scope, receive, exchange.send)
        finally:
            exchange.annotate(span)
            self._account(exchange)

    def _account(self, exchange: "_Exchange") -> None:
        seconds, status = exchange.seconds(), exchange.status
        REQUESTS.labels(self._service, exchange.method, exchange.route, status).inc()
        REQUEST_SECONDS.labels(self._service, exchange.route).observe(seconds)
        if exchange.is_replay:
            REPLAYS.labels(self._service).inc()
        if status in (401, 403):
            AUTH_FAILURES.labels(self._service, exchange.problem or OTHER).inc()
        write = log.debug if exchange.is_probe else log.info
        write("request", ms=round(seconds * 1000, 1), **exchange.facts())


class _Exchange:
    """One request and what was answered; facts about it and none of its content."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.method = scope["method"] if scope["method"] in METHODS else OTHER
        self.is_head = self.method == "HEAD"
        # HEAD is GET without its body (RFC 9110, 9.3.2), for every route alike: the application sees a GET.
        self.scope = {**scope, "method": "GET", HEAD_ONLY: True} if self.is_head else scope
        self.is_probe = scope["path"].endswith(PROBES)
        self.status = UNANSWERED
        self.is_replay = False
        self._send = send
        self._started = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = dict(message["headers"])
            self.is_replay = b"idempotency-replayed" in given
            own = {b"x-request-id": self.scope["request_id"].encode()}
            added = [item for item in (_HEADERS | own).items() if item[0] not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        elif self.is_head:
            message = {**message, "body": b""}
        await self._send(message)

    def seconds(self) -> float:
        return time.perf_counter() - self._started

    @property
    def route(self) -> str:
        """The template, not the path: ids would make every request a series of its own."""
        return str(getattr(self.scope.get("route"), "path_format", "(none)"))

    @property
    def problem(self) -> str | None:
        return self.scope.get(PROBLEM)

    def annotate(self, span: Span) -> None:
        span.update_name(f"{self.method} {self.route}")
        span.set_attribute("http.route", self.route)
        span.set_attribute("http.response.status_code", self.status)
        if self.status >= 500:
            span.set_status(Status(StatusCode.ERROR))

    def facts(self) -> dict[str, Any]:
        client = self.scope.get("client")
        facts = {
            "method": self.method,
            "route": self.route,
            "status": self.status,
            "outcome": self.problem or ("ok" if self.status < 400 else "refused"),
            "client": client[0] if client else None,
            **_caller(self.scope.get("state") or {}),
        }
        return {name: value for name, value in facts.items() if value is not None}


def _caller(state: dict[str, Any]) -> dict[str, str | None]:
    """Who asked, without a name: the member's id, or the fingerprint of a subject who is no member.

    An identity provider may use e-mail addresses as subjects.
    """
    principal, identity = state.get("principal"), state.get("identity")
    if principal is not None and principal.member_id != NOBODY:
        return {"subject": str(principal.member_id), "org": str(principal.org_id)}
    if identity is None:
        return {}
    digest = sha256(f"{identity.issuer}|{identity.subject}".encode()).hexdigest()
    return {"subject": f"sha256:{digest[:16]}"}


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.match(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return uuid7().hex
