"""One story in spans: from a caller's request over outbox, bus and consumer to the webhook that it caused."""

import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import ValidationError

from shared.contracts.notifier import AlertAcknowledged
from shared.messaging.bus import Delivered, RetryLater
from shared.runtime import telemetry
from shared.runtime.settings import KernelSettings
from shared.runtime.telemetry import current_traceparent, linked_span, server_span
from tests.conftest import StartService
from tests.support.alerting import (
    LOCAL,
    NOTIFIER,
    alerts_of,
    deliveries_of,
    emptied,
    escalated,
    ok,
    registered,
)
from tests.support.harness import RunningService
from tests.support.messaging import running
from tests.support.patience import until
from tests.support.receiver import Receiver, Reply

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
MALFORMED = ("", "00-abc-def-01", "x" * 5000, "00-" + "0" * 32 + "-b7ad6b7169203331-01", "\0")
TEAM = "customer.om_team"


class Spans:
    """The spans that ended so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]

    def only(self, name: str) -> ReadableSpan:
        [span] = self.all(name)
        return span

    def clear(self) -> None:
        self._exporter.clear()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_TRACER", provider.get_tracer("concordat"))
    yield Spans(exporter)
    provider.shutdown()


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    return await emptied(service, datetime.now(UTC))


def context(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return trace.format_trace_id(span.context.trace_id), trace.format_span_id(span.context.span_id)


def causes(span: ReadableSpan) -> list[tuple[str, str]]:
    return [
        (trace.format_trace_id(link.context.trace_id), trace.format_span_id(link.context.span_id))
        for link in span.links
    ]


async def acknowledged(s: RunningService, **headers: str) -> None:
    """A member takes the one alert up, through the public API."""
    [alert] = await alerts_of(s, TEAM)
    answer = await s.client.post(
        f"{NOTIFIER}/alerts/{alert['id']}/acknowledge",
        headers=s.headers(TEAM, If_Match=f'"{alert["version"]}"') | headers,
        json={"note": "Mine."},
    )
    ok(answer)


async def test_a_request_is_linked_over_outbox_bus_and_consumer_to_the_webhook_it_caused(
    s: RunningService, spans: Spans
) -> None:
    assert s.kernel.consumer is not None
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        await s.drain()
        spans.clear()
        await acknowledged(s, traceparent=TRACEPARENT)
        async with running(s.kernel.relay), running(s.kernel.consumer):
            await until(lambda: learnt_of_acknowledgement(s, endpoint))
        await s.drain()
    request = spans.only("POST /notifier/v1/alerts/{alert_id}/acknowledge")
    assert (request.kind, request.parent and request.parent.span_id) == (SpanKind.SERVER, int(CALLER, 16))
    assert context(request)[0] == TRACE

    [published] = [span for span in spans.all("publish notifier") if context(request) in causes(span)]
    assert published.kind is SpanKind.PRODUCER

    [handled] = [span for span in spans.all("process concordat.notifier") if context(request) in causes(span)]
    assert (handled.kind, handled.parent) == (SpanKind.CONSUMER, None)
    assert handled.attributes is not None
    assert handled.attributes["concordat.outcome"] == "done"

    [sent] = [span for span in spans.all("deliver webhook") if context(handled) in causes(span)]
    assert (sent.kind, sent.parent, sent.attributes and sent.attributes["http.response.status_code"]) == (
        SpanKind.CLIENT,
        None,
        200,
    )
    traces = {context(span)[0] for span in (request, published, handled, sent)}
    assert len(traces) == 4
    assert all("traceparent" not in got.headers for got in receiver.requests)


async def learnt_of_acknowledgement(s: RunningService, endpoint: dict[str, Any]) -> bool:
    return len(await deliveries_of(s, endpoint)) == 2


async def test_the_event_in_the_outbox_carries_the_context_of_the_request(
    s: RunningService, spans: Spans
) -> None:
    await escalated(s)
    await acknowledged(s)
    request = spans.only("POST /notifier/v1/alerts/{alert_id}/acknowledge")
    [event] = await s.envelopes(AlertAcknowledged)
    assert tuple(event["traceparent"].split("-")[1:3]) == context(request)


async def test_without_an_sdk_the_callers_context_still_reaches_the_outbox(s: RunningService) -> None:
    await escalated(s)
    await acknowledged(s, traceparent=TRACEPARENT)
    [event] = await s.envelopes(AlertAcknowledged)
    assert event["traceparent"] == TRACEPARENT


async def test_without_an_sdk_and_a_caller_who_traces_events_carry_no_context(s: RunningService) -> None:
    await escalated(s)
    await acknowledged(s)
    [event] = await s.envelopes(AlertAcknowledged)
    assert "traceparent" not in event
    assert current_traceparent() is None


@pytest.mark.parametrize("header", MALFORMED)
async def test_a_malformed_context_of_a_caller_is_ignored(
    s: RunningService, spans: Spans, header: str
) -> None:
    headers = [(b"traceparent", header.encode())]
    with server_span("GET", headers, {}):
        pass
    assert spans.only("GET").parent is None


@pytest.mark.parametrize("header", MALFORMED)
def test_a_malformed_cause_is_no_link(spans: Spans, header: str) -> None:
    with linked_span("x", SpanKind.CONSUMER, [header, None, TRACEPARENT], {}):
        pass
    assert causes(spans.only("x")) == [(TRACE, CALLER)]


def test_a_batch_of_one_request_is_linked_to_it_once(spans: Spans) -> None:
    with linked_span("x", SpanKind.PRODUCER, [TRACEPARENT] * 200, {}):
        pass
    assert causes(spans.only("x")) == [(TRACE, CALLER)]


async def test_probes_leave_no_spans(s: RunningService, spans: Spans) -> None:
    for probe in ("healthz", "readyz", "metrics"):
        await s.client.get(f"/notifier/{probe}")
    await s.client.get(f"{NOTIFIER}/rules")
    assert [span.name for span in spans._exporter.get_finished_spans()] == [f"GET {NOTIFIER}/rules"]


async def test_a_message_that_is_retried_leaves_a_failed_span_without_its_text(
    s: RunningService, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    consumer = s.kernel.consumer
    assert consumer is not None

    async def fails(*_: object) -> None:
        raise ConnectionRefusedError("postgresql://user:hunter2@db is away")

    monkeypatch.setattr(consumer.inbox, "receive", fails)
    message = Delivered("concordat.changes", 0, 1, b"k", b"{}", {"traceparent": TRACEPARENT})
    with pytest.raises(RetryLater):
        await consumer.handle(message)
    span = spans.only("process concordat.changes")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "RetryLater")
    assert causes(span) == [(TRACE, CALLER)]
    assert "hunter2" not in span.to_json()


async def test_an_attempt_that_fails_leaves_a_failed_span_of_its_own(s: RunningService, spans: Spans) -> None:
    async with Receiver(Reply(status=500), Reply(status=200)) as receiver:
        await registered(s, receiver.url("/hook-that-is-nobodys-business"))
        await escalated(s)
        await s.drain()
        s.clock.advance(timedelta(minutes=1))
        await s.drain()
    first, second = spans.all("deliver webhook")
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert causes(first) == causes(second) != []
    attempts = [span.attributes and span.attributes["concordat.delivery.attempt"] for span in (first, second)]
    assert attempts == [1, 2]
    assert "nobodys-business" not in first.to_json()


def test_switching_tracing_on_without_its_packages_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONCORDAT_TRACING", "1")
    monkeypatch.setattr(
        telemetry, "NEEDED", ("opentelemetry.sdk.trace", "opentelemetry.exporter.absent.at_all")
    )
    with pytest.raises(ValidationError, match="install opentelemetry-sdk and"):
        KernelSettings(environment="test", database_url="postgresql://x", kafka_bootstrap="kafka:9092")


def test_switching_tracing_on_exports_spans_under_the_services_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter is not among the tools for development; one of the same shape stands in for it."""
    stand_in = ModuleType(telemetry.EXPORTER)
    exporter = InMemorySpanExporter()
    stand_in.OTLPSpanExporter = lambda: exporter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, telemetry.EXPORTER, stand_in)
    chosen: list[TracerProvider] = []
    monkeypatch.setattr(trace, "set_tracer_provider", chosen.append)
    telemetry.export_traces("concordat-sla")
    [provider] = chosen
    with provider.get_tracer("x").start_as_current_span("y"):
        pass
    provider.shutdown()
    [span] = exporter.get_finished_spans()
    assert span.resource.attributes["service.name"] == "concordat-sla"


def test_a_provider_that_is_already_there_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", TracerProvider)
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: pytest.fail("replaced"))
    telemetry.export_traces("concordat-sla")
