"""Requests and responses about deliveries."""

from datetime import datetime
from uuid import UUID

from pydantic import StrictBool

from services.notifier.alerts.domain import Change
from services.notifier.channels.domain import Fault, Verdict
from services.notifier.deliveries.domain import DeliveryState
from shared.web.pages import Page
from shared.web.schemas import In, Instant, Out


class ReplayRange(In):
    """Deliveries created from `since` to before `until`; those that arrived only when asked for."""

    since: Instant
    until: Instant
    delivered_too: StrictBool = False


class Replayed(Out):
    """How many deliveries were queued again."""

    deliveries: int


class DeliveryAttempt(Out):
    """What one attempt met; `excerpt` is the start of the answer, without secrets."""

    number: int
    finished_at: datetime
    duration_ms: int
    verdict: Verdict
    status: int | None
    fault: Fault | None
    error: str
    address: str | None
    excerpt: str


class DeliverySummary(Out):
    """One message for one endpoint. `webhook_id` is the same at every retry and replay."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    endpoint_id: UUID
    alert_id: UUID | None
    event_id: UUID
    event_type: str
    change: Change | None
    webhook_id: str
    is_test: bool
    state: DeliveryState
    attempt: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    done_at: datetime | None


class Delivery(DeliverySummary):
    """A delivery with what is sent and every attempt."""

    content_type: str
    body: str
    attempts: list[DeliveryAttempt]


class DeliveryPage(Page[DeliverySummary]):
    """A page of deliveries."""
