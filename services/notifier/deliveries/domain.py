"""When a delivery is tried again, and what an answer means for it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

# Standard Webhooks' example: the wait before attempt 1, 2, ... 10; about 76 hours in all.
SCHEDULE = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
LONGEST_RETRY_AFTER = timedelta(hours=24)
LEAST_JITTER, MOST_JITTER = 0.8, 1.2


class Fault(StrEnum):
    """Why no answer came."""

    blocked = "blocked"
    timeout = "timeout"
    network = "network"
    tls = "tls"


class Verdict(StrEnum):
    """What an attempt means. `configuration` and `throttled` are retried like `retry`, and noted."""

    delivered = "delivered"
    retry = "retry"
    configuration = "configuration"
    throttled = "throttled"
    gone = "gone"
    blocked = "blocked"


class DeliveryState(StrEnum):
    """Where a delivery stands. Exhausted and cancelled ones may be replayed."""

    pending = "pending"
    in_flight = "in_flight"
    done = "done"
    exhausted = "exhausted"
    cancelled = "cancelled"


OF_STATUS = {
    401: Verdict.configuration,
    403: Verdict.configuration,
    404: Verdict.configuration,
    405: Verdict.configuration,
    410: Verdict.gone,
    413: Verdict.configuration,
    415: Verdict.configuration,
    422: Verdict.configuration,
    429: Verdict.throttled,
    502: Verdict.throttled,
    504: Verdict.throttled,
}
# A redirect is never followed: somebody has to correct the address.
OF_CLASS = {2: Verdict.delivered, 3: Verdict.configuration}
OF_FAULT = {Fault.blocked: Verdict.blocked, Fault.tls: Verdict.configuration}
PERMANENT = frozenset({Verdict.gone, Verdict.blocked})


@dataclass(frozen=True, kw_only=True)
class Next:
    """What becomes of a delivery after an attempt; `at` only while it stays pending."""

    state: DeliveryState
    at: datetime | None = None


def verdict_of_status(status: int) -> Verdict:
    return OF_STATUS.get(status) or OF_CLASS.get(status // 100, Verdict.retry)


def verdict_of_fault(fault: Fault) -> Verdict:
    return OF_FAULT.get(fault, Verdict.retry)


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """The wait a `Retry-After` header asks for (RFC 9110 10.2.3), 0 to 24 h; None when unreadable."""
    if header is None:
        return None
    text = header.strip()
    wait = _seconds(text) if text.isascii() and text.isdigit() else _until(text, now)
    return None if wait is None else min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)


def _seconds(digits: str) -> timedelta:
    # Nine digits are thirty years; longer numbers would only overflow.
    return timedelta(seconds=int(digits[:9]))


def _until(text: str, now: datetime) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now


def after_attempt(
    verdict: Verdict, attempts: int, now: datetime, *, jitter: float, wait: timedelta | None = None
) -> Next:
    """What follows the `attempts`-th attempt of a round (1-based); `wait` is what Retry-After asked.

    `jitter` is a factor from 0.8 to 1.2, drawn by the caller.
    """
    if not LEAST_JITTER <= jitter <= MOST_JITTER:
        raise ValueError(f"jitter {jitter} is outside {LEAST_JITTER}..{MOST_JITTER}")
    if verdict is Verdict.delivered:
        return Next(state=DeliveryState.done)
    if verdict in PERMANENT or attempts >= len(SCHEDULE):
        return Next(state=DeliveryState.exhausted)
    delay = max(SCHEDULE[attempts] * jitter, wait or timedelta(0))
    return Next(state=DeliveryState.pending, at=now + delay)
