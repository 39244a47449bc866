"""What sending and sealing need besides the database."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from services.notifier.channels.webhook.service.channel import WebhookChannel
from services.notifier.channels.webhook.service.egress import Egress
from services.notifier.deliveries.domain import LEAST_JITTER, MOST_JITTER
from services.notifier.endpoints.service.vault import Vault
from services.notifier.settings import Settings
from shared.runtime.clock import Clock, real_time


def random_jitter() -> float:
    return random.uniform(LEAST_JITTER, MOST_JITTER)  # noqa: S311 - spreads load, keeps no secret


@dataclass(frozen=True)
class Tools:
    """Made once per application and handed to routes, timers and the delivery worker."""

    settings: Settings
    vault: Vault
    clock: Clock
    jitter: Callable[[], float] = random_jitter

    @property
    def real_time(self) -> Clock:
        """For leases, signatures and patience: others measure these by their own clocks."""
        return real_time(self.clock)

    def channel(self) -> WebhookChannel:
        """The way out, not yet open."""
        egress = Egress(
            self.settings.egress_policy(),
            deadline=self.settings.deadline,
            ca_file=self.settings.ca_file,
            connections=self.settings.concurrency,
        )
        return WebhookChannel(egress, self.real_time)


async def _tools(request: Request) -> Tools:
    tools: Tools = request.app.state.delivery_tools
    return tools


DeliveryTools = Annotated[Tools, Depends(_tools)]
"""For routes: the vault and the deployment's egress policy."""
