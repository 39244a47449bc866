"""What the notifier publishes: alerts and what became of deliveries."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import TYPE_PREFIX, Event, Open

TOPIC = "concordat.notifier"


class AlertOpened(Event):
    """Something needs a person. `dedup_key` is unique among the open alerts of an organization."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "alert.opened.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "alert"

    alert_id: UUID
    org_id: UUID
    rule: str
    dedup_key: str
    title: str
    priority: Open[Literal["urgent", "high", "normal"]]


class AlertAcknowledged(Event):
    """A member took an alert up."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "alert.acknowledged.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "alert"

    alert_id: UUID
    org_id: UUID
    member_id: UUID


class AlertSnoozed(Event):
    """A member of the party that has to act lets an alert be quiet until a business time."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "alert.snoozed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "alert"

    alert_id: UUID
    org_id: UUID
    member_id: UUID
    until: datetime
    reason: str


class AlertWoken(Event):
    """The time an alert was snoozed until has come, and its cause still holds: it is open again."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "alert.woken.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "alert"

    alert_id: UUID
    org_id: UUID
    rule: str
    title: str


class AlertResolved(Event):
    """The cause went away, or a member resolved the alert."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "alert.resolved.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "alert"

    alert_id: UUID
    org_id: UUID
    resolution: Open[Literal["cause_cleared", "member"]]


class DeliveryExhausted(Event):
    """Every attempt of a delivery failed; it is kept for replay."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "delivery.exhausted.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "delivery"

    delivery_id: UUID
    endpoint_id: UUID
    org_id: UUID
    attempts: int


class EndpointDisabled(Event):
    """An endpoint was switched off because it only failed, or answered 410."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "endpoint.disabled.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "endpoint"

    endpoint_id: UUID
    org_id: UUID
    reason: str


EVENTS: tuple[type[Event], ...] = (
    AlertOpened,
    AlertAcknowledged,
    AlertSnoozed,
    AlertWoken,
    AlertResolved,
    DeliveryExhausted,
    EndpointDisabled,
)
