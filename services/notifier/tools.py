"""What sending and sealing need besides the database."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from services.notifier.domain.schedule import LEAST_JITTER, MOST_JITTER
from services.notifier.egress import Egress
from services.notifier.settings import Settings
from services.notifier.vault import Vault
from shared.runtime.clock import Clock


def random_jitter() -> float:
    return random.uniform(LEAST_JITTER, MOST_JITTER)  # noqa: S311 - spreads load, keeps no secret


@dataclass(frozen=True)
class Tools:
    """Made once per application and handed to routes, timers and the delivery worker."""

    settings: Settings
    vault: Vault
    clock: Clock
    jitter: Callable[[], float] = random_jitter

    def egress(self) -> Egress:
        return Egress(
            self.settings.egress_policy(),
            deadline=self.settings.deadline,
            ca_file=self.settings.ca_file,
            connections=self.settings.concurrency,
        )
