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
    """Fed with what the consumer sees; times are monotonic seconds."""

    pulled_at: float
    _moved: dict[Partition, tuple[int, float]] = field(default_factory=dict)

    def verdict(self, now: float, places: Mapping[Partition, tuple[int, int]]) -> str | None:
        """Why the consumer is stuck, or None. `places` maps a partition to its next and its end offset."""
        if now - self.pulled_at > SILENT_AFTER:
            return f"the client has not answered for {now - self.pulled_at:.0f} s"
        for partition, (position, end) in places.items():
            since = self._since(partition, position, now)
            if end > position and now - since > STILL_AFTER:
                return (
                    f"{partition[0]}/{partition[1]} has stood at {position} of {end} for {now - since:.0f} s"
                )
        self._moved = {partition: self._moved[partition] for partition in places}
        return None

    def _since(self, partition: Partition, position: int, now: float) -> float:
        known = self._moved.get(partition)
        if known is None or known[0] != position:
            known = self._moved[partition] = (position, now)
        return known[1]
