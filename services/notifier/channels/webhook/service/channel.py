"""The webhook channel: signs a delivery, sends it by the guarded way out, and says what the answer means."""

from types import TracebackType
from typing import Self

from services.notifier.channels.domain import Answer, Fault, Outgoing, Verdict, message_id
from services.notifier.channels.webhook.domain.answers import (
    explained_fault,
    explained_status,
    retry_after,
    verdict_of_fault,
    verdict_of_status,
)
from services.notifier.channels.webhook.service.egress import Egress, Exchange
from shared.pure.signing import signed_headers
from shared.runtime.clock import Clock


class WebhookChannel:
    """A `Channel` of endpoints that take HTTP. Use it as an async context manager."""

    def __init__(self, egress: Egress, clock: Clock) -> None:
        self._egress = egress
        self._clock = clock

    async def __aenter__(self) -> Self:
        await self._egress.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._egress.__aexit__(kind, error, trace)

    async def send(self, delivery: Outgoing) -> Answer:
        headers = signed_headers(delivery.signing, message_id(delivery.id), self._clock(), delivery.body)
        headers["content-type"] = delivery.content_type
        if delivery.authorization:
            headers["authorization"] = delivery.authorization
        return self._judged(await self._egress.post(delivery.address, delivery.body, headers))

    def _judged(self, met: Exchange) -> Answer:
        verdict, error = _meaning(met)
        return Answer(
            verdict=verdict,
            duration=met.duration,
            status=met.status,
            fault=met.fault,
            error=error,
            wait=retry_after(met.retry_after, self._clock()),
            excerpt=met.excerpt,
            address=met.address,
        )


def _meaning(met: Exchange) -> tuple[Verdict, str]:
    if met.status is not None:
        return verdict_of_status(met.status), explained_status(met.status)
    fault = met.fault or Fault.network
    return verdict_of_fault(fault), explained_fault(fault, met.error)
