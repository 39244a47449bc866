"""A group's reaction to what arrives: apply it once, retry it in order, or set it aside; never lose it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from opentelemetry.trace import SpanKind

from shared.messaging.bus import Bus, Delivered, RetryLater
from shared.messaging.failures import Failure, Transient, classify
from shared.messaging.inbox import Inbox, Outcome, Rejection, SessionFactory
from shared.messaging.metrics import EVENT_AGE, GAPS, LAG_SECONDS, MESSAGES, RETRIES
from shared.messaging.pacing import backoff
from shared.messaging.projections import Projection
from shared.runtime import failpoints
from shared.runtime.clock import Clock
from shared.runtime.telemetry import linked_span

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How patient a consumer is. The delay doubles from `first` to `longest`, in seconds, with jitter."""

    first: float = 0.5
    longest: float = 60.0
    transient_limit: timedelta = timedelta(minutes=15)
    bug_tries: int = 5
    handler_timeout: float = 60.0

    def delay(self, failures: int) -> float:
        return backoff(failures, self.first, self.longest)

    @property
    def longest_silence(self) -> float:
        """Seconds after which a message in trouble would have come again, were it still ours."""
        return 2 * (self.longest + self.handler_timeout)

    def is_over(self, failure: Failure, tries: int, since: timedelta) -> bool:
        """Whether the message must be set aside now."""
        match failure:
            case Failure.INFRASTRUCTURE | Failure.REPLAYING:
                return False
            case Failure.TRANSIENT | Failure.NOT_YET:
                return since >= self.transient_limit
            case Failure.BUG:
                return tries >= self.bug_tries
            case _:
                return True


PATIENT: Final = RetryPolicy()


NOT_ITS_FAULT: Final = (Failure.INFRASTRUCTURE, Failure.REPLAYING)


@dataclass
class _Trouble:
    """The message a partition is stuck on. `since` is when it first failed after the last outage, if it did."""

    offset: int
    first_at: datetime
    since: datetime | None = None
    tries: int = 0
    waits: int = 0

    def count(self, failure: Failure, now: datetime) -> None:
        """An outage is not held against the message, and neither is its length."""
        self.waits += 1
        if failure in NOT_ITS_FAULT:
            self.since = None
            return
        self.since = self.since or now
        self.first_at = now if self.tries == 0 else self.first_at
        self.tries += 1

    def lasted(self, now: datetime) -> timedelta:
        return now - (self.since or now)


@dataclass(frozen=True)
class _InHand:
    """The message a partition is at: when it was written, and when (monotonic) it last came to us."""

    written_at: datetime
    seen_at: float


class ConsumerRunner:
    """One member of `group` on behalf of `service`: every message in its own transaction, then its offset."""

    def __init__(
        self,
        service: str,
        group: str,
        bus: Bus,
        session_factory: SessionFactory,
        projections: Sequence[Projection],
        clock: Clock,
        *,
        topics: Collection[str] | None = None,
        policy: RetryPolicy = PATIENT,
    ) -> None:
        """`topics` are those of the handled events unless given."""
        self.service, self.group = service, group
        self.inbox = Inbox(group, projections)
        self.topics = frozenset(topics or {cls.TOPIC for cls in self.inbox.handled})
        self._sessions, self._clock, self._policy = session_factory, clock, policy
        self._consumer = bus.consumer(group, self.topics, self.handle)
        self._trouble: dict[tuple[str, int], _Trouble] = {}
        self._in_hand: dict[tuple[str, int], _InHand] = {}
        self._database_away = False
        self._register_series()

    def _register_series(self) -> None:
        """Let every series exist before the first message: a counter that appears with a 1 shows no increase."""
        LAG_SECONDS.labels(self.group).set_function(self.lag_seconds)
        EVENT_AGE.labels(self.group)
        GAPS.labels(self.group)
        for outcome in Outcome:
            MESSAGES.labels(self.group, outcome.value)
        for failure in Failure:
            RETRIES.labels(self.group, failure.value)

    @property
    def healthy(self) -> bool:
        """False while the bus or the database is out of reach."""
        return self._consumer.healthy and not self._database_away

    async def run(self) -> None:
        """Consume until `stop`. Raises when the bus client stays stuck: let a supervisor start us afresh."""
        await self._consumer.run()

    async def stop(self) -> None:
        """Finish what is in hand, commit, leave the group."""
        await self._consumer.stop()

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """Messages the group has still to handle, by topic and partition."""
        return await self._consumer.waiting()

    def lag_seconds(self) -> float:
        """Age of the oldest event this member has begun and not finished; 0 when it is up to date."""
        ours_since = time.monotonic() - self._policy.longest_silence
        now = self._clock()
        ages = [now - held.written_at for held in self._in_hand.values() if held.seen_at > ours_since]
        return max((age.total_seconds() for age in ages), default=0.0)

    async def handle(self, message: Delivered) -> None:
        """Apply, retry (raises RetryLater) or set aside one message, under a span linked to its cause."""
        about = {
            "messaging.operation.type": "process",
            "messaging.destination.name": message.topic,
            "messaging.destination.partition.id": str(message.partition),
            "messaging.consumer.group.name": self.group,
            "messaging.message.id": str(message.headers.get("event_id", "")),
            "concordat.service": self.service,
        }
        cause = message.headers.get("traceparent")
        with (
            structlog.contextvars.bound_contextvars(event_id=message.headers.get("event_id")),
            linked_span(f"process {message.topic}", SpanKind.CONSUMER, [cause], about) as span,
        ):
            span.set_attribute("concordat.outcome", (await self._handle(message)).value)

    async def _handle(self, message: Delivered) -> Outcome:
        place = (message.topic, message.partition)
        self._take(place, message)
        try:
            outcome = await self._receive(message)
        except Exception as error:
            outcome = await self._after(error, message)
        self._trouble.pop(place, None)
        self._in_hand.pop(place, None)
        self._database_away = False
        MESSAGES.labels(self.group, outcome.value).inc()
        return outcome

    async def _receive(self, message: Delivered) -> Outcome:
        if not self.inbox.wants(message):
            return Outcome.IGNORED
        async with _time_limit(self._policy.handler_timeout), self._sessions() as session:
            # The session has had its first answer: from here on, what takes too long is the message's own doing.
            with _own_time_outs():
                outcome = await self.inbox.receive(session, message, self._clock())
            failpoints.hit("consumer_before_db_commit")
        failpoints.hit("consumer_after_db_commit")
        if written_at := _written_at(message):
            EVENT_AGE.labels(self.group).observe(max(0.0, (self._clock() - written_at).total_seconds()))
        return outcome

    async def _after(self, error: Exception, message: Delivered) -> Outcome:
        """Retry or reject. Raises RetryLater to see the message again."""
        failure = classify(error)
        now = self._clock()
        trouble = self._trouble_with(message, now)
        trouble.count(failure, now)
        if not self._policy.is_over(failure, trouble.tries, trouble.lasted(now)):
            self._retry(failure, error, message, trouble)
        log.error("%s sets aside %s/%s@%s", self.group, *_where(message), exc_info=error)
        rejection = Rejection(
            failure, f"{type(error).__name__}: {error}", trouble.first_at, now, trouble.tries
        )
        return await self._reject(message, rejection)

    def _retry(self, failure: Failure, error: Exception, message: Delivered, trouble: _Trouble) -> None:
        RETRIES.labels(self.group, failure.value).inc()
        self._database_away = failure is Failure.INFRASTRUCTURE
        # A replay ends when it ends: look again soon, or events would wait a minute for nothing.
        replaying = failure is Failure.REPLAYING
        delay = self._policy.delay(1 if replaying else trouble.waits)
        log.log(
            logging.INFO if replaying else logging.WARNING,
            "%s retries %s/%s@%s in %.1f s: %s: %r",
            self.group,
            *_where(message),
            delay,
            failure,
            error,
        )
        raise RetryLater(delay) from error

    async def _reject(self, message: Delivered, rejection: Rejection) -> Outcome:
        try:
            async with _time_limit(self._policy.handler_timeout), self._sessions() as session:
                return await self.inbox.reject(session, message, rejection)
        except Exception as error:
            # Whatever the reason, the message may only leave the bus once its dead letter is committed.
            log.warning("%s could not write a dead letter", self.group, exc_info=True)
            raise RetryLater(self._policy.delay(1)) from error

    def _trouble_with(self, message: Delivered, now: datetime) -> _Trouble:
        place = (message.topic, message.partition)
        known = self._trouble.get(place)
        if known is None or known.offset != message.offset:
            known = self._trouble[place] = _Trouble(message.offset, now)
        return known

    def _take(self, place: tuple[str, int], message: Delivered) -> None:
        self._in_hand.pop(place, None)
        if written_at := _written_at(message):
            self._in_hand[place] = _InHand(written_at, time.monotonic())


def _written_at(message: Delivered) -> datetime | None:
    """When the event was written, if its headers tell an instant."""
    try:
        at = datetime.fromisoformat(message.headers["event_time"])
    except (KeyError, ValueError, TypeError):
        return None
    return at if at.tzinfo else None


def _where(message: Delivered) -> tuple[str, int, int]:
    return message.topic, message.partition, message.offset


@asynccontextmanager
async def _time_limit(seconds: float) -> AsyncIterator[None]:
    """A handler that takes too long is in trouble of its own, unlike a database that cannot be reached.

    Whatever it raises after that time counts as this too: one that held the loop loses its connection meanwhile.
    """
    ends = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout(seconds):
            yield
    except Exception as error:
        if asyncio.get_running_loop().time() >= ends:
            raise Transient(f"the handler took more than {seconds:.0f} s") from error
        raise


@contextmanager
def _own_time_outs() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise Transient("the handler waited for something in vain, for as long as it may") from error
