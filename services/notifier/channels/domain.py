"""What every channel is given and what it answers: a delivery goes out, an answer says what came of it."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID


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


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One message on its way out. `id` is the same at every attempt; `address` is of the channel's own kind.

    The secrets are plain text and live no longer than the attempt: `signing` newest first, `authorization`
    what the other side asks of us.
    """

    id: UUID
    address: str
    content_type: str
    body: bytes
    signing: tuple[str, ...] = field(default=(), repr=False)
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one attempt.

    `error` is a sentence for the endpoint's owner: what happened and what to do; empty when it was delivered.
    `status` is the code of the channel's protocol, if one was answered; `wait` is how long the other side asked
    us to wait. `excerpt` is the start of its answer, redacted, at most 2 KiB; `address` where it came from.
    """

    verdict: Verdict
    duration: timedelta = timedelta(0)
    status: int | None = None
    fault: Fault | None = None
    error: str = ""
    wait: timedelta | None = None
    excerpt: str = ""
    address: str | None = None


class Channel(Protocol):
    """One way out: a webhook, a mail, a ticket."""

    async def send(self, delivery: Outgoing) -> Answer:
        """Make one attempt, bounded in time. Raises nothing but cancellation."""
        ...


def message_id(delivery_id: UUID) -> str:
    """What the receiver knows a delivery by: the same at every attempt. It holds no dot (Standard Webhooks)."""
    return f"msg_{delivery_id.hex}"
