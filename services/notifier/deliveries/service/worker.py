"""The delivery worker: claims what is due, sends it, writes what came of it."""

import asyncio
from collections.abc import Sequence

import structlog
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Counter, Histogram

from services.notifier.channels.webhook.service.egress import NO_ANSWER, Answer, Egress
from services.notifier.deliveries.domain import Fault, Verdict
from services.notifier.deliveries.models import webhook_id
from services.notifier.deliveries.service.claiming import Claimed, claim
from services.notifier.deliveries.service.fanout import WAKE_UP
from services.notifier.deliveries.service.results import Outcome, keep_delivered, keep_failed
from services.notifier.endpoints.service.secrets import opened
from services.notifier.tools import Tools
from shared.data.session import Database
from shared.pure.signing import signed_headers
from shared.runtime import failpoints
from shared.runtime.telemetry import Attributes, linked_span

log = structlog.get_logger()

POLL_SECONDS = 0.2
AFTER_TROUBLE_SECONDS = 1.0
BATCH = 64
ATTEMPTS = Counter("concordat_delivery_attempts_total", "Attempts by what they meant", ("verdict",))
ATTEMPT_SECONDS = Histogram(
    "concordat_delivery_attempt_seconds",
    "Time to an answer or to giving up",
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15),
)
# A counter that appears with a 1 shows no increase, so every series exists from the start.
for _verdict in Verdict:
    ATTEMPTS.labels(_verdict.value)


class DeliveryWorker:
    """One sender. Any number may run: leases and lanes live in the database."""

    def __init__(self, database: Database, tools: Tools) -> None:
        self._database = database
        self._tools = tools
        self._stopping = asyncio.Event()
        self._wake_up = database.wake_ups[WAKE_UP]
        self._sending: set[asyncio.Task[Outcome]] = set()
        self._unwritten: list[Outcome] = []

    async def run(self) -> None:
        """Send until stopped; then finish what is in flight."""
        async with self._tools.egress() as egress:
            while not self._stopping.is_set():
                await self._survive(egress)
            if self._sending:
                await asyncio.wait(self._sending)
            await self._write()

    async def stop(self) -> None:
        self._stopping.set()
        self._wake_up.set()

    async def run_once(self) -> int:
        """Send everything that is due now and write the results; how many attempts were made."""
        made = 0
        async with self._tools.egress() as egress:
            while claimed := await self._start(egress):
                made += claimed
                await asyncio.wait(self._sending)
                await self._write()
        return made

    async def _survive(self, egress: Egress) -> None:
        """One turn; a database that is away costs a second, not the loop. Unwritten results are kept."""
        self._wake_up.clear()
        try:
            await self._start(egress)
            await self._wait()
            await self._write()
        except Exception as error:
            log.error("delivery_turn_failed", exc_info=error)
            await asyncio.sleep(AFTER_TROUBLE_SECONDS)

    async def _start(self, egress: Egress) -> int:
        free = min(BATCH, self._tools.settings.concurrency - len(self._sending))
        if free <= 0:
            return 0
        async with self._database.system() as session:
            claimed = await claim(session, self._tools.clock(), free)
        self._sending |= {asyncio.create_task(self._send(egress, each)) for each in claimed}
        return len(claimed)

    async def _wait(self) -> None:
        """Until something was sent, there is something new to send, or it is time to look again (retries)."""
        if self._stopping.is_set():
            return
        woken = asyncio.create_task(self._wake_up.wait())
        await asyncio.wait({woken, *self._sending}, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()

    async def _send(self, egress: Egress, claimed: Claimed) -> Outcome:
        """One attempt, under a span linked to the one that wrote the delivery. Receivers learn of neither."""
        about: Attributes = {
            "concordat.service": "notifier",
            "concordat.delivery.id": str(claimed.id),
            "concordat.delivery.attempt": claimed.attempt,
            "http.request.method": "POST",
            "concordat.endpoint.id": str(claimed.endpoint_id),
        }
        with linked_span("deliver webhook", SpanKind.CLIENT, [claimed.traceparent], about) as span:
            outcome = await self._attempt(egress, claimed)
            span.set_attribute("concordat.outcome", outcome.verdict.value)
            if outcome.answer.status is not None:
                span.set_attribute("http.response.status_code", outcome.answer.status)
            if outcome.verdict is not Verdict.delivered:
                span.set_status(Status(StatusCode.ERROR, outcome.verdict.value))
        return outcome

    async def _attempt(self, egress: Egress, claimed: Claimed) -> Outcome:
        try:
            answer = await egress.post(claimed.url, claimed.body.encode(), self._headers(claimed))
            failpoints.hit("delivery_after_send")
        except Exception as error:  # a lost answer would leave the delivery to its lease, unexplained
            log.error("attempt_failed", delivery=str(claimed.id), exc_info=error)
            answer = Answer(duration=NO_ANSWER, fault=Fault.network, error=type(error).__name__)
        outcome = Outcome(claimed=claimed, answer=answer, finished_at=self._tools.clock())
        ATTEMPTS.labels(outcome.verdict.value).inc()
        ATTEMPT_SECONDS.observe(answer.duration.total_seconds())
        return outcome

    def _headers(self, claimed: Claimed) -> dict[str, str]:
        secrets = opened(self._tools.vault, claimed.secrets)
        headers = signed_headers(
            secrets.signing, webhook_id(claimed.id), self._tools.clock(), claimed.body.encode()
        )
        authorization = {"authorization": secrets.authorization} if secrets.authorization else {}
        return {**headers, "content-type": claimed.content_type, **authorization}

    async def _write(self) -> None:
        done = {task for task in self._sending if task.done()}
        self._sending -= done
        self._unwritten += [task.result() for task in done]
        await self._write_delivered([o for o in self._unwritten if o.verdict is Verdict.delivered])
        for outcome in list(self._unwritten):
            await self._write_failed(outcome)

    async def _write_delivered(self, outcomes: Sequence[Outcome]) -> None:
        if outcomes:
            async with self._database.system() as session:
                await keep_delivered(session, outcomes, self._tools.clock())
            self._unwritten = [o for o in self._unwritten if o.verdict is not Verdict.delivered]

    async def _write_failed(self, outcome: Outcome) -> None:
        async with self._database.system() as session:
            await keep_failed(session, outcome, self._tools.clock(), self._tools.jitter())
        self._unwritten.remove(outcome)
