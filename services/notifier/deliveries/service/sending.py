"""Deliveries in this process's hands: each waits until its endpoint has room, is sent once, and leaves an outcome."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from opentelemetry.trace import SpanKind, Status, StatusCode
from prometheus_client import Counter as Count
from prometheus_client import Histogram

from services.notifier.channels.domain import Answer, Channel, Outgoing, Verdict
from services.notifier.deliveries.service.claiming import Claimed
from services.notifier.deliveries.service.results import Outcome
from services.notifier.endpoints.service.vault import CannotUnseal
from services.notifier.tools import Tools
from shared.runtime import failpoints
from shared.runtime.telemetry import Attributes, linked_span

log = structlog.get_logger()

AHEAD = timedelta(seconds=0.25)
"""How much work of a fast endpoint is held ready, so that it need not wait for the database between two deliveries."""
WAITS_AT_MOST = timedelta(seconds=2)
"""What waits longer in our hands is given back: its endpoint has slowed down, or was switched off meanwhile."""
SEALED = "The endpoint's secrets do not open with this deployment's keys: rotate its signing secret and set its authorization again."
FAILED = "The notifier failed while sending ({}). It is sent again by itself; if this goes on, tell whoever runs Concordat."
ATTEMPTS = Count("concordat_delivery_attempts_total", "Attempts by what they meant", ("verdict",))
ATTEMPT_SECONDS = Histogram(
    "concordat_delivery_attempt_seconds",
    "Time to an answer or to giving up",
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15),
)
# A counter that appears with a 1 shows no increase, so every series exists from the start.
_ATTEMPTS_BY = {verdict: ATTEMPTS.labels(verdict.value) for verdict in Verdict}


class Sending:
    """Sends what it is given.

    `finished(outcome, is_short)` is called in the event loop after every attempt; `is_short`: its endpoint could soon
    take more than it was given.
    """

    def __init__(self, channel: Channel, tools: Tools, finished: Callable[[Outcome, bool], None]) -> None:
        self._channel = channel
        self._clock = tools.clock
        self._real_time = tools.real_time
        self._finished = finished
        self._most = tools.settings.concurrency
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight: Counter[UUID] = Counter()
        self._waiting: defaultdict[UUID, deque[tuple[Claimed, datetime]]] = defaultdict(deque)
        self._unsent: list[Claimed] = []
        self._ahead: dict[UUID, int] = {}

    def __len__(self) -> int:
        """How many deliveries it holds: sent and not answered, and waiting."""
        return len(self._tasks) + sum(map(len, self._waiting.values()))

    def ahead(self) -> Mapping[UUID, int]:
        """How many deliveries beyond those in flight an endpoint that answers quickly can take.

        Together they are half of what this process may hold, so that there is always room for what is due elsewhere.
        """
        share = self._most // 2 // max(len(self._ahead), 1)
        return {endpoint_id: min(ahead, share) for endpoint_id, ahead in self._ahead.items()}

    def held(self) -> Counter[UUID]:
        """How many deliveries of each endpoint are here."""
        return self._in_flight + Counter({endpoint: len(queue) for endpoint, queue in self._waiting.items()})

    async def done(self) -> None:
        """Return when nothing is left to send."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def add(self, claimed: Iterable[Claimed]) -> None:
        """Send these, each when its endpoint has room; a test goes at once."""
        now = self._real_time()
        for each in claimed:
            if each.is_test:
                self._start(each)
            else:
                self._waiting[each.endpoint_id].append((each, now))
        for endpoint_id in list(self._waiting):
            self._fill(endpoint_id)
        self._ahead = {each: ahead for each, ahead in self._ahead.items() if self._in_flight[each]}

    def unsent(self, *, everything: bool = False) -> list[Claimed]:
        """What is to be given back: left behind by a failure, waiting for too long, or `everything` that waits."""
        late = self._real_time() - WAITS_AT_MOST
        for endpoint_id, queue in list(self._waiting.items()):
            if everything or queue[0][1] < late:
                self._leave(endpoint_id)
        return list(self._unsent)

    def given_back(self, unsent: Sequence[Claimed]) -> None:
        """These are no longer ours."""
        self._unsent = [each for each in self._unsent if each not in unsent]

    def _fill(self, endpoint_id: UUID) -> None:
        queue = self._waiting[endpoint_id]
        while queue and self._in_flight[endpoint_id] < queue[0][0].width:
            self._start(queue.popleft()[0])
        if not queue:
            del self._waiting[endpoint_id]

    def _start(self, claimed: Claimed) -> None:
        self._in_flight[claimed.endpoint_id] += not claimed.is_test
        task = asyncio.create_task(self._send(claimed))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, claimed: Claimed) -> None:
        answer = await self._traced(claimed)
        outcome = Outcome(claimed=claimed, answer=answer, finished_at=self._clock())
        _ATTEMPTS_BY[outcome.verdict].inc()
        ATTEMPT_SECONDS.observe(answer.duration.total_seconds())
        if not claimed.is_test:
            self._make_room(outcome)
        waiting = len(self._waiting.get(claimed.endpoint_id, ()))
        self._finished(outcome, waiting * 2 <= claimed.room)

    def _make_room(self, outcome: Outcome) -> None:
        """The next one goes; after a failure none does before the endpoint's health was judged."""
        endpoint_id = outcome.claimed.endpoint_id
        self._in_flight[endpoint_id] -= 1
        if outcome.verdict is Verdict.delivered:
            self._ahead[endpoint_id] = _ahead(outcome)
            self._fill(endpoint_id)
        else:
            self._leave(endpoint_id)

    def _leave(self, endpoint_id: UUID) -> None:
        self._ahead.pop(endpoint_id, None)
        self._unsent += [each for each, _ in self._waiting.pop(endpoint_id, ())]

    async def _traced(self, claimed: Claimed) -> Answer:
        """One attempt, under a span linked to the one that wrote the delivery. Receivers learn of neither."""
        about: Attributes = {
            "concordat.service": "notifier",
            "concordat.delivery.id": str(claimed.id),
            "concordat.delivery.attempt": claimed.attempt,
            "http.request.method": "POST",
            "concordat.endpoint.id": str(claimed.endpoint_id),
        }
        with linked_span("deliver webhook", SpanKind.CLIENT, [claimed.traceparent], about) as span:
            answer = await self._attempt(claimed)
            span.set_attribute("concordat.outcome", answer.verdict.value)
            if answer.status is not None:
                span.set_attribute("http.response.status_code", answer.status)
            if answer.verdict is not Verdict.delivered:
                span.set_status(Status(StatusCode.ERROR, answer.verdict.value))
        return answer

    async def _attempt(self, claimed: Claimed) -> Answer:
        try:
            answer = await self._channel.send(self._outgoing(claimed))
            failpoints.hit("delivery_after_send")
        except CannotUnseal as error:
            log.error("secrets_not_opened", endpoint=str(claimed.endpoint_id), exc_info=error)
            return Answer(verdict=Verdict.configuration, error=SEALED)
        except Exception as error:  # a lost answer would leave the delivery to its lease, unexplained
            log.error("attempt_failed", delivery=str(claimed.id), exc_info=error)
            return Answer(verdict=Verdict.retry, error=FAILED.format(type(error).__name__))
        return answer

    def _outgoing(self, claimed: Claimed) -> Outgoing:
        return Outgoing(
            id=claimed.id,
            address=claimed.url,
            content_type=claimed.content_type,
            body=claimed.body.encode(),
            signing=claimed.keyring.signing,
            authorization=claimed.keyring.authorization,
        )


def _ahead(outcome: Outcome) -> int:
    took = max(outcome.answer.duration, timedelta(milliseconds=1))
    return int(outcome.claimed.width * (AHEAD / took))
