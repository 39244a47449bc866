"""The bus as the services see it: an ordered, partitioned log with consumer groups.

Two adapters keep this contract and pass one conformance suite: `kafka` and `pglog`.
Delivery is at least once, in order per key; a message is done when `handle` returned.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Outgoing:
    """One message to publish. Messages with the same key stay in order."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivered:
    """One message as the bus holds it. `offset` grows within a partition, not always by one."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]


class RetryLater(Exception):
    """Raised by a handle: deliver this message again after `seconds`, and nothing of its partition before."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds:.1f} s")
        self.seconds = seconds


Handle = Callable[[Delivered], Awaitable[None]]


class Producer(Protocol):
    """One generation of a publisher: after any failed `publish` it must be closed and replaced."""

    async def publish(self, batch: Sequence[Outgoing]) -> None:
        """Return when the bus holds the whole batch. A failure means unknown, not unsent."""

    async def close(self) -> None: ...


class Consumer(Protocol):
    """One member of a group."""

    @property
    def healthy(self) -> bool:
        """Whether it reaches the bus and makes progress."""

    async def run(self) -> None:
        """Deliver until `stop`. Cancelling it is like killing it: nothing more is committed.

        A handle that raises gets the same message again, later and in order.
        """

    async def stop(self) -> None:
        """Finish the messages in hand, commit, leave the group."""

    async def waiting(self) -> Mapping[tuple[str, str], int]:
        """Messages its group has still to handle, by topic and partition, as far as this member knows.

        A member that shares its knowledge with the others calls the whole topic one partition, `all`.
        """


class Bus(Protocol):
    async def producer(self) -> Producer: ...

    def consumer(self, group: str, topics: Collection[str], handle: Handle) -> Consumer:
        """A member of `group`. A new group starts at the beginning of the log."""

    async def rewind(self, group: str, topic: str, offsets: Mapping[int, int] | None = None) -> None:
        """Let a stopped group read a topic again: from the beginning, or from an offset per partition."""

    async def missing_topics(self, topics: Collection[str]) -> set[str]:
        """The topics that do not exist (an adapter that creates them on first use has none)."""
