"""When a delivery is tried again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from services.notifier.channels.domain import Verdict

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
LEAST_JITTER, MOST_JITTER = 0.8, 1.2


class DeliveryState(StrEnum):
    """Where a delivery stands. Exhausted and cancelled ones may be replayed."""

    pending = "pending"
    in_flight = "in_flight"
    done = "done"
    exhausted = "exhausted"
    cancelled = "cancelled"


PERMANENT = frozenset({Verdict.gone, Verdict.blocked})


@dataclass(frozen=True, kw_only=True)
class Next:
    """What becomes of a delivery after an attempt; `at` only while it stays pending."""

    state: DeliveryState
    at: datetime | None = None


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


def after_lost_lease(attempts: int, now: datetime) -> Next:
    """What follows when the `attempts`-th attempt of a round (1-based) ended without a result.

    The first goes again at once: its sender died. Further ones wait as the schedule says: what cannot be written down
    would otherwise reach the receiver once a minute.
    """
    if attempts >= len(SCHEDULE):
        return Next(state=DeliveryState.exhausted)
    return Next(state=DeliveryState.pending, at=now + SCHEDULE[attempts - 1])
