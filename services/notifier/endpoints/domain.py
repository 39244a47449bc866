"""The health of an endpoint: its circuit breaker, how much may be in flight, and when it is switched off."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.notifier.channels.domain import Verdict

FAILURES_THAT_OPEN = 5
WINDOW = timedelta(minutes=5)
WINDOW_LEAST = 20
OPEN_FOR = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16, 30))
THROTTLED_FOR = timedelta(minutes=5)
CONFIGURATION_FLAG_AFTER = 3
WARN_AFTER = timedelta(days=2)
DISABLE_AFTER = timedelta(days=5)
DISABLE_LEAST_FAILURES = 10


class Circuit(StrEnum):
    """Open: nothing is sent until `open_until`; from then on one probe at a time (half-open)."""

    closed = "closed"
    open = "open"


class DisableReason(StrEnum):
    """Why an endpoint is switched off."""

    gone = "gone"
    only_failures = "only_failures"
    by_member = "by_member"


class Purpose(StrEnum):
    """What a sealed secret is for."""

    signing = "signing"
    authorization = "authorization"


@dataclass(frozen=True, kw_only=True)
class Window:
    """Attempts of the last five minutes, not counting those before the circuit last closed."""

    attempts: int = 0
    failures: int = 0

    @property
    def fails_mostly(self) -> bool:
        return self.attempts >= WINDOW_LEAST and self.failures * 2 >= self.attempts


@dataclass(frozen=True, kw_only=True)
class Health:
    """What the past attempts of an endpoint add up to. `trips` counts openings since the last success."""

    circuit: Circuit = Circuit.closed
    open_until: datetime | None = None
    closed_at: datetime | None = None
    trips: int = 0
    failures_in_a_row: int = 0
    failing_since: datetime | None = None
    configuration_failures: int = 0
    throttled_until: datetime | None = None

    @property
    def needs_configuration(self) -> bool:
        """Whether the owner should look at address, credentials or payload."""
        return self.configuration_failures >= CONFIGURATION_FLAG_AFTER

    def window_start(self, now: datetime) -> datetime:
        start = now - WINDOW
        return max(start, self.closed_at) if self.closed_at else start


def after_success(health: Health, now: datetime) -> Health:
    """A success closes the circuit and forgets the failures; a throttled endpoint stays at half."""
    closed_at = now if health.circuit is Circuit.open else health.closed_at
    return Health(closed_at=closed_at, throttled_until=health.throttled_until)


def after_failure(health: Health, verdict: Verdict, window: Window, now: datetime) -> Health:
    """`window` includes the failure being judged."""
    configuration = health.configuration_failures + 1 if verdict is Verdict.configuration else 0
    counted = replace(
        health,
        failures_in_a_row=health.failures_in_a_row + 1,
        failing_since=health.failing_since or now,
        configuration_failures=configuration,
        throttled_until=now + THROTTLED_FOR if verdict is Verdict.throttled else health.throttled_until,
    )
    return _opened(counted, now) if _opens(counted, window, now) else counted


def _opens(health: Health, window: Window, now: datetime) -> bool:
    # A straggler sent before the circuit opened must not count as its probe.
    if health.circuit is Circuit.open:
        return health.open_until is None or now >= health.open_until
    return health.failures_in_a_row >= FAILURES_THAT_OPEN or window.fails_mostly


def _opened(health: Health, now: datetime) -> Health:
    wait = OPEN_FOR[min(health.trips, len(OPEN_FOR) - 1)]
    return replace(health, circuit=Circuit.open, open_until=now + wait, trips=health.trips + 1)


def room(health: Health, max_in_flight: int, now: datetime) -> int:
    """How many deliveries may be in flight now: none, one probe, half of what its owner allows, or all of it.

    The claim query says the same in SQL; a test holds the two together.
    """
    if health.circuit is Circuit.open:
        return 0 if health.open_until and now < health.open_until else 1
    if health.throttled_until and now < health.throttled_until:
        return (max_in_flight + 1) // 2
    return max_in_flight


def disable_reason(health: Health, verdict: Verdict, now: datetime) -> DisableReason | None:
    """Why the endpoint must be switched off after this failure, or None."""
    if verdict is Verdict.gone:
        return DisableReason.gone
    if health.failing_since is None or health.failures_in_a_row < DISABLE_LEAST_FAILURES:
        return None
    return DisableReason.only_failures if now - health.failing_since >= DISABLE_AFTER else None


def owner_must_know(health: Health, now: datetime) -> bool:
    """Two days of nothing but failures: time to tell the owner by another channel."""
    return health.failing_since is not None and now - health.failing_since >= WARN_AFTER
