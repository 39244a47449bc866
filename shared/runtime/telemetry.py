"""Spans and the metrics of every service. Spans go nowhere until a deployment sets an OpenTelemetry SDK up.

A step that begins because of a message starts a trace of its own and is *linked* to what caused it: one
message may be handled many times, hours later, and together with others.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from os import environ
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "concordat_http_requests_total", "Requests answered", ("service", "method", "route", "status")
)
REQUEST_SECONDS = Histogram(
    "concordat_http_request_seconds",
    "Time to answer",
    ("service", "route"),
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10),
)
REPLAYS = Counter(
    "concordat_http_idempotency_replays_total", "Repeated requests given their first answer", ("service",)
)
AUTH_FAILURES = Counter(
    "concordat_http_auth_failures_total",
    "Requests refused with 401 or 403, by problem",
    ("service", "problem"),
)
READY = Gauge(
    "concordat_ready", "1 while a readiness check holds; set when /readyz is asked", ("service", "check")
)
POOL_IN_USE = Gauge("concordat_db_pool_in_use", "Database connections in use", ("service",))
POOL_SIZE = Gauge("concordat_db_pool_size", "Database connections there may be", ("service",))
TIMER_RUNS = Counter("concordat_timer_rows_total", "Rows a timer handled", ("service", "timer"))
TIMER_FAILURES = Counter("concordat_timer_failures_total", "Timer runs that failed", ("service", "timer"))
TIMER_SUCCESS = Gauge(
    "concordat_timer_last_success_timestamp_seconds",
    "When a timer last did all its work; the start of the process before that",
    ("service", "timer"),
)
TIMER_INTERVAL = Gauge(
    "concordat_timer_interval_seconds", "Pause between two runs of a timer", ("service", "timer")
)

DUE_HANDLED = Counter("concordat_due_total", "Deadlines and reminders handled", ("service", "kind"))
DUE_FAILURES = Counter(
    "concordat_due_failures_total",
    "Deadlines and reminders that failed and were postponed",
    ("service", "kind"),
)
DUE_POSTPONED = Gauge(
    "concordat_due_postponed", "Deadlines and reminders that wait because they failed", ("service",)
)
DUE_LATE = Gauge(
    "concordat_due_late_seconds", "How long the oldest one that is due has waited to be handled", ("service",)
)

EXPORTER: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
NEEDED: Final = ("opentelemetry.sdk.trace", EXPORTER)
_INCOMING: Final = (b"traceparent", b"tracestate")

# Everything goes through this one tracer. It asks for the SDK when a span starts, so the order does not matter.
_TRACER = trace.get_tracer("concordat")

Attributes = Mapping[str, AttributeValue]


def current_traceparent() -> str | None:
    """The W3C trace context of the current span, for the outbox row; None when nothing traces."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def server_span(name: str, headers: Iterable[tuple[bytes, bytes]], attributes: Attributes) -> Iterator[Span]:
    """The span of one HTTP request, a child of the caller's span when the caller sent one."""
    carrier = {key.decode(): value.decode("latin-1") for key, value in headers if key in _INCOMING}
    parent = propagate.extract(carrier, Context()) if carrier else Context()
    with _started(name, SpanKind.SERVER, parent, (), attributes) as span:
        yield span


@contextmanager
def linked_span(
    name: str, kind: SpanKind, causes: Iterable[str | None], attributes: Attributes
) -> Iterator[Span]:
    """The first span of a new trace, linked to every valid `traceparent` among `causes`."""
    contexts = [_context_of(str(cause)) for cause in dict.fromkeys(causes) if cause]
    links = [Link(context) for context in contexts if context.is_valid]
    with _started(name, kind, Context(), links, attributes) as span:
        yield span


def _context_of(traceparent: str) -> trace.SpanContext:
    extracted = propagate.extract({"traceparent": traceparent}, Context())
    return trace.get_current_span(extracted).get_span_context()


@contextmanager
def _started(
    name: str, kind: SpanKind, parent: Context, links: Iterable[Link], attributes: Attributes
) -> Iterator[Span]:
    """A current span. A failure leaves the name of its class only: its text may hold what a log would redact."""
    with _TRACER.start_as_current_span(
        name,
        parent,
        kind,
        attributes=attributes,
        links=tuple(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def missing_packages() -> list[str]:
    """The modules of the extra `otel` that are not installed."""
    return [name for name in NEEDED if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def export_traces(service: str) -> None:
    """Send spans over OTLP/HTTP as the standard OTEL_* variables say; the first call of a process counts.

    A provider that `opentelemetry-instrument` has set up is left as it is. Needs the extra `otel`.
    """
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = {} if "OTEL_SERVICE_NAME" in environ else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(name))
    provider.add_span_processor(BatchSpanProcessor(import_module(EXPORTER).OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
