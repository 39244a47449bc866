"""Whether a Kafka consumer that looks alive is stuck: issue reports show clients that poll for ever in vain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

Partition = tuple[str, int]

SILENT_AFTER: Final = 30.0
STILL_AFTER: Final = 120.0
SECOND_CHANCE: Final = 300.0


@dataclass
class Watchdog:
    """Fed with what the consumer sees; times are monotonic seconds, `pulled_at` is when it last got an answer."""

    pulled_at: float
    reachable: bool = True
    _answered_at: float = field(init=False)
    _moved: dict[Partition, tuple[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._answered_at = self.pulled_at

    def verdict(self, now: float, places: Mapping[Partition, tuple[int, int]] | None) -> str | None:
        """Why the consumer is stuck, or None.

        `places` maps a partition that should move to its next and its end offset; None when no broker answered.
        """
        self.reachable = places is not None
        if places is not None:
            self._answered_at = now
            self._moved = {
                partition: self._moved[partition] for partition in places if partition in self._moved
            }
        if now - self.pulled_at > SILENT_AFTER:
            return f"the client has not answered for {now - self.pulled_at:.0f} s"
        if now - self._answered_at > STILL_AFTER:
            return f"no broker has answered for {now - self._answered_at:.0f} s"
        return next(
            (reason for place in (places or {}).items() if (reason := self._standstill(now, *place))), None
        )

    def _standstill(self, now: float, partition: Partition, place: tuple[int, int]) -> str | None:
        position, end = place
        known = self._moved.get(partition)
        if known is None or known[0] != position or position >= end:
            known = self._moved[partition] = (position, now)
        still = now - known[1]
        if still <= STILL_AFTER:
            return None
        return f"{partition[0]}/{partition[1]} has stood at {position} of {end} for {still:.0f} s"
