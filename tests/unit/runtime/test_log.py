"""What reaches a log: one line of JSON each, with the ids that connect it and without what must stay secret."""

import json
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.data.session import Identity
from shared.pure.refusal import Forbidden
from shared.runtime import log
from shared.web.authz import NOBODY, Principal
from shared.web.middleware import Edge
from shared.web.problems import refusal_response

MEMBER, ORG = UUID(int=7), UUID(int=8)
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"
NEWLINES = "one\ntwo\r\nthree\u2028four\u2029five\x85six\x0bseven"


class Lines:
    """What this process wrote to its standard error."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self._seen = ""

    def getvalue(self) -> str:
        self._seen += self._capture.readouterr().err
        return self._seen

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def only(self) -> dict[str, Any]:
        [entry] = self.entries()
        return entry


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    log.configure("info", "sla")
    with structlog.contextvars.bound_contextvars():
        structlog.contextvars.clear_contextvars()
        yield Lines(capsys)
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


def test_an_entry_is_one_line_of_json_in_utc_with_its_service(lines: Lines) -> None:
    structlog.get_logger().info("report_published", report="R-1")
    entry = lines.only()
    assert entry["timestamp"].endswith("Z")
    assert {name: entry[name] for name in ("event", "level", "service", "report")} == {
        "event": "report_published",
        "level": "info",
        "service": "sla",
        "report": "R-1",
    }


def test_a_bound_service_wins_over_that_of_the_process(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(service="changes", request_id="r-1"):
        structlog.get_logger().info("x")
    assert (lines.only()["service"], lines.only()["request_id"]) == ("changes", "r-1")


def test_the_standard_librarys_loggers_write_the_same_lines(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(service="changes", event_id="e-1"):
        logging.getLogger("shared.messaging.relay").info("%s: shard %d", "changes", 3)
    entry = lines.only()
    assert (entry["event"], entry["level"], entry["logger"]) == (
        "changes: shard 3",
        "info",
        "shared.messaging.relay",
    )
    assert (entry["service"], entry["event_id"]) == ("changes", "e-1")


def test_libraries_write_warnings_on(lines: Lines) -> None:
    logging.getLogger("aiokafka").info("joined")
    logging.getLogger("uvicorn.error").warning("slow")
    assert [entry["event"] for entry in lines.entries()] == ["slow"]


def test_the_level_holds_for_both_kinds_of_loggers(lines: Lines) -> None:
    log.configure("error", "sla")
    structlog.get_logger().warning("x")
    logging.getLogger("shared.messaging").warning("x")
    logging.getLogger("aiokafka").warning("x")
    assert lines.getvalue() == ""


def test_configuring_twice_does_not_write_twice(lines: Lines) -> None:
    log.configure("info", "sla")
    logging.getLogger("shared").error("once")
    assert len(lines.entries()) == 1


def test_an_entry_inside_a_span_names_it_and_one_outside_does_not(lines: Lines) -> None:
    context = SpanContext(trace_id=0xABC, span_id=0xDEF, is_remote=False)
    with trace.use_span(NonRecordingSpan(context)):
        structlog.get_logger().info("inside")
        logging.getLogger("shared").info("inside too")
    structlog.get_logger().info("outside")
    *inside, outside = lines.entries()
    assert {(entry["trace_id"], entry["span_id"]) for entry in inside} == {
        ("00000000000000000000000000000abc", "0000000000000def")
    }
    assert "trace_id" not in outside


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "access_token",
        "client_secret",
        "signing_secrets",
        "password",
        "passwd",
        "webhook-signature",
        "Set-Cookie",
        "api_key",
        "x-api-key",
        "private_key",
        "credentials",
        "database_url",
        "body",
        "payload",
        "excerpt",
    ],
)
def test_what_is_secret_by_name_is_redacted_at_any_depth(lines: Lines, name: str) -> None:
    structlog.get_logger().info("x", **{name: "s3cr3t"}, deep={"list": [{"tuple": ({name: ["s3cr3t"]},)}]})
    assert "s3cr3t" not in lines.getvalue()
    assert lines.only()["deep"] == {"list": [{"tuple": [{name: log.REDACTED}]}]}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("signed with whsec_c2VjcmV0c2VjcmV0", "c2Vjc"),
        ("signed with whsk_c2VjcmV0c2VjcmV0", "c2Vjc"),
        ("Authorization: Bearer abcdefgh12345", "abcdefgh"),
        ("authorization: basic dXNlcjpwYXNzd29yZA==", "dXNlcj"),
        (f"token was {JWT}", "c2lnbmF0dXJl"),
        (f"token was {JWT}", "eyJzdWIi"),
        (f"key {PEM} refused", "MIGHAg"),
        (PEM.partition("\n-----END")[0], "MIGHAg"),
        ("cannot reach postgresql://concordat_sla:hunter2@db:5432/x", "hunter2"),
        ("redis://:hunter2@cache", "hunter2"),
        ("GET /callback?access_token=hunter2&x=1", "hunter2"),
        ('refused {"client_secret": "hunter2"}', "hunter2"),
        ("Settings(password='hunter2')", "hunter2"),
        ('violates "uq_member"\nDETAIL:  Key (email)=(jane@agency.example) already exists.', "jane"),
        ("[SQL: INSERT ...]\n[parameters: ('jane', 1)]", "jane"),
        ("[type=int_parsing, input_value='jane', input_type=str]", "jane"),
    ],
)
@pytest.mark.parametrize(
    "shape", [str, lambda t: [t], lambda t: {"deep": {"er": t}}, ValueError, lambda t: {t: 1}]
)
def test_what_is_secret_by_its_form_is_redacted_wherever_it_stands(
    lines: Lines, text: str, secret: str, shape: Callable[[str], object]
) -> None:
    structlog.get_logger().info("x", text=shape(text))
    logging.getLogger("shared").warning("said %s", shape(text))
    assert secret not in lines.getvalue()
    assert lines.getvalue().count(log.REDACTED) >= 2


@pytest.mark.parametrize(
    "text",
    [
        "the bearer token was refused",
        "basic information is missing",
        "https://concordat.example/changes/v1/change_requests?limit=5",
        "CR-FY27-0001 escalated from jowg to smb: Replace the gateway",
        "shard 3 was not published: KafkaConnectionError: no broker",
    ],
)
def test_ordinary_sentences_stay_as_they_are(lines: Lines, text: str) -> None:
    structlog.get_logger().info("x", text=text)
    assert lines.only()["text"] == text


def test_a_secret_across_the_edge_of_a_cut_is_still_redacted(lines: Lines) -> None:
    structlog.get_logger().info("x", text="a" * (log.LONGEST_TEXT - 10) + " " + JWT)
    assert "eyJ" not in lines.getvalue()


@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("shared")])
def test_no_character_can_begin_a_second_line(lines: Lines, logger: Any) -> None:
    logger.error(NEWLINES)
    assert len(lines.getvalue().splitlines()) == 1
    assert lines.only()["event"] == NEWLINES


class Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


def endless() -> list[object]:
    inner: list[object] = []
    inner.append(inner)
    return inner


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (b"\x00\xff", "[2 bytes]"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({1: {2}}, {"1": [2]}),
        ("\ud800", "\ud800"),
        (Unspeakable(), "[Unspeakable that cannot be shown: RuntimeError]"),
        (endless(), [[[[[["[...]"]]]]]]),
        (range(1000), list(range(log.MOST_ITEMS))),
        ("é" * 5000, "é" * log.LONGEST_TEXT + "[...]"),
    ],
)
def test_any_value_becomes_plain_json_of_a_bounded_size(lines: Lines, value: object, shown: object) -> None:
    structlog.get_logger().info("x", value=value)
    assert lines.only()["value"] == shown


def fall(depth: int) -> None:
    """Frames that differ: repeated ones would be folded by themselves."""
    if depth > 1:
        _fall(depth - 1)
    raise ValueError(f"password=hunter2 {'at the bottom ' * 1000}")


def _fall(depth: int) -> None:
    fall(depth - 1)


def fall_twice() -> None:
    try:
        fall(200)
    except ValueError:
        raise LookupError("the last word") from None


def chain() -> None:
    for _ in range(50):
        try:
            fall(30)
        except ValueError as error:
            cause: Exception = error
    raise LookupError("the last word") from cause


def group() -> None:
    parts = []
    for _ in range(30):
        try:
            fall(30)
        except ValueError as error:
            parts.append(error)
    raise ExceptionGroup("the last word", parts)


@pytest.mark.parametrize("fails", [lambda: fall(200), fall_twice, chain, group])
@pytest.mark.parametrize("logger", [structlog.get_logger(), logging.getLogger("shared")])
def test_a_traceback_is_bounded_and_redacted(lines: Lines, logger: Any, fails: Callable[[], None]) -> None:
    try:
        fails()
    except Exception:
        logger.exception("it_failed")
    entry = lines.only()
    assert len(entry["exception"]) <= log.LONGEST_TRACEBACK
    assert "hunter2" not in lines.getvalue()
    assert "fall" in entry["exception"]


def test_a_traceback_keeps_the_last_frames_and_the_error(lines: Lines) -> None:
    try:
        fall(200)
    except ValueError:
        structlog.get_logger().exception("it_failed")
    written = lines.only()["exception"]
    assert written.count(", in ") == log.LAST_FRAMES
    assert "ValueError: [redacted] at the bottom" in written


Endpoint = Callable[[Request], Awaitable[Response]]


def principal(member: UUID, org: UUID) -> Principal:
    return Principal(member, org, frozenset(), "https://idp", "jane@agency.example", "Jane Doe")


@dataclass
class Answering:
    """A service with one route, behind the edge."""

    endpoint: Endpoint
    path: str = "/sla/v1/slas/{sla_id}"

    async def get(
        self, path: str = "/sla/v1/slas/42?who=jane", method: str = "GET", **headers: str
    ) -> httpx.Response:
        edge = Middleware(Edge, service="sla")
        app = Starlette(routes=[Route(self.path, self.endpoint)], middleware=[edge])
        transport = httpx.ASGITransport(_with_template(app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers)


def _with_template(app: Starlette) -> ASGIApp:
    """Starlette's routes know their template; FastAPI puts the route into the scope."""

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = next((r for r in app.routes if r.matches(scope)[0].value == 2), None)
        await app(scope, receive, send)

    return routed


async def as_member(request: Request) -> Response:
    request.state.principal = principal(MEMBER, ORG)
    request.state.identity = Identity("https://idp", "jane@agency.example")
    return Response("secret content", 201)


async def as_stranger(request: Request) -> Response:
    request.state.identity = Identity("https://idp", "jane@agency.example")
    return refusal_response(request, Forbidden("not_a_member", "Unknown."))


async def as_administrator(request: Request) -> Response:
    request.state.principal = principal(NOBODY, NOBODY)
    request.state.identity = Identity("https://idp", "jane@agency.example", is_sysadmin=True)
    return Response()


async def buggy(request: Request) -> Response:
    fall(200)
    raise AssertionError


async def test_a_request_leaves_one_line_of_facts_and_nothing_of_its_content(lines: Lines) -> None:
    await Answering(as_member).get(**{"X-Request-Id": "given-by-me"})
    entry = lines.only()
    assert entry.pop("ms") >= 0
    assert entry.pop("timestamp")
    assert entry == {
        "level": "info",
        "service": "sla",
        "event": "request",
        "request_id": "given-by-me",
        "method": "GET",
        "route": "/sla/v1/slas/{sla_id}",
        "status": 201,
        "outcome": "ok",
        "subject": str(MEMBER),
        "org": str(ORG),
        "client": "127.0.0.1",
    }


@pytest.mark.parametrize(("endpoint", "outcome"), [(as_stranger, "not_a_member"), (as_administrator, "ok")])
async def test_who_is_no_member_is_known_by_a_fingerprint(
    lines: Lines, endpoint: Endpoint, outcome: str
) -> None:
    await Answering(endpoint).get()
    entry = lines.only()
    assert entry["outcome"] == outcome
    assert entry["subject"].startswith("sha256:")
    assert "jane" not in lines.getvalue()
    assert "org" not in entry


@pytest.mark.parametrize("probe", ["/sla/healthz", "/sla/readyz", "/sla/metrics"])
async def test_probes_are_logged_at_debug_only(lines: Lines, probe: str) -> None:
    await Answering(as_member, path=probe).get(probe)
    assert lines.getvalue() == ""
    log.configure("debug", "sla")
    await Answering(as_member, path=probe).get(probe)
    assert lines.only()["level"] == "debug"


async def test_an_unforeseen_error_is_told_once_with_the_requests_id(lines: Lines) -> None:
    answer = await Answering(buggy).get()
    error, access = lines.entries()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert error["event"] == "unexpected"
    assert (access["status"], access["outcome"]) == (500, "internal")
    assert (
        {answer.headers["x-request-id"], answer.json()["request_id"]}
        == {error["request_id"]}
        == {access["request_id"]}
    )
    assert len(lines.getvalue()) < 10_000


async def test_an_invented_method_is_not_repeated(lines: Lines) -> None:
    await Answering(as_member).get(method="X" * 50)
    assert lines.only()["method"] == "(other)"


async def test_an_unknown_path_is_not_repeated(lines: Lines) -> None:
    await Answering(as_member).get("/sla/v1/jane")
    assert (lines.only()["route"], lines.only()["outcome"]) == ("(none)", "refused")
