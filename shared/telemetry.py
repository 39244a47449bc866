"""Trace context and metrics that every service has. The OpenTelemetry SDK is the deployment's choice."""

from opentelemetry import propagate
from prometheus_client import Counter, Histogram

REQUESTS = Counter(
    "concordat_http_requests_total", "Requests answered", ("service", "method", "route", "status")
)
REQUEST_SECONDS = Histogram(
    "concordat_http_request_seconds",
    "Time to answer",
    ("service", "route"),
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10),
)
TIMER_RUNS = Counter("concordat_timer_rows_total", "Rows a timer handled", ("service", "timer"))
TIMER_FAILURES = Counter("concordat_timer_failures_total", "Timer runs that failed", ("service", "timer"))


def current_traceparent() -> str | None:
    """The W3C trace context of the current span, for the outbox row; None when nothing traces."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")
