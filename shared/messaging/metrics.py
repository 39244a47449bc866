"""What the relay and the consumers count."""

from collections.abc import Mapping
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("concordat_relay_published", "Events handed to the bus", ["service"])
PUBLISH_FAILURES = Counter(
    "concordat_relay_failures", "Producer generations that ended in an error", ["service"]
)
UNPUBLISHED = Gauge("concordat_relay_unpublished_events", "Events that wait to be published", ["service"])
OLDEST_UNPUBLISHED = Gauge(
    "concordat_relay_oldest_unpublished_seconds", "Age of the oldest waiting event", ["service"]
)

UNSEALED = Gauge(
    "concordat_audit_oldest_unsealed_seconds", "Age of the oldest audit row not yet in its chain", ["service"]
)

MESSAGES = Counter("concordat_consumer_messages", "Messages by what became of them", ["consumer", "outcome"])
GAPS = Counter("concordat_consumer_gaps", "Events that skipped versions of their aggregate", ["consumer"])
RETRIES = Counter(
    "concordat_consumer_retries", "Tries that failed and will be repeated", ["consumer", "failure"]
)
EVENT_AGE = Histogram(
    "concordat_consumer_event_age_seconds",
    "Age of an event when it had been handled",
    ["consumer"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 120, 600, 3600),
)
LAG_SECONDS = Gauge(
    "concordat_consumer_lag_seconds", "Age of the oldest event in hand and not yet handled", ["consumer"]
)
LAG_EVENTS = Gauge(
    "concordat_consumer_lag_events",
    "Events on the bus that the group has not handled",
    ["consumer", "topic", "partition"],
)
DEAD_LETTERS = Gauge(
    "concordat_dead_letters_waiting", "Messages set aside that wait for an operator", ["service"]
)
PARKED = Gauge(
    "concordat_parked_aggregates", "Aggregates whose later events wait for an operator", ["service"]
)
REBUILDS = Counter(
    "concordat_consumer_rebuilds", "Times a stuck or failed bus client was replaced", ["consumer"]
)
COMMIT_FAILURES = Counter(
    "concordat_consumer_commit_failures", "Offsets that could not be committed", ["consumer"]
)
REBALANCES = Counter(
    "concordat_consumer_rebalances", "Times the group gave out its partitions anew", ["consumer"]
)

CONNECTED = Gauge(
    "concordat_bus_connected", "1 while this part of a service reaches the bus", ["service", "part"]
)
TOPICS_MISSING = Gauge("concordat_bus_topics_missing", "Topics the broker does not have", ["service"])

Place = tuple[str, str]
_shown: dict[str, set[Place]] = {}


class Connected(Protocol):
    """Relay or consumer."""

    @property
    def healthy(self) -> bool: ...


def show_connections(service: str, relay: Connected, consumer: Connected | None) -> None:
    """Let the gauge of each part ask it whenever metrics are read."""
    CONNECTED.labels(service, "relay").set_function(lambda: relay.healthy)
    if consumer is not None:
        CONNECTED.labels(service, "consumer").set_function(lambda: consumer.healthy)


def show_lag(consumer: str, lag: Mapping[Place, int]) -> None:
    """Set the lag by topic and partition, and forget the partitions that another member has now."""
    for gone in _shown.get(consumer, set()) - lag.keys():
        LAG_EVENTS.remove(consumer, *gone)
    for place, events in lag.items():
        LAG_EVENTS.labels(consumer, *place).set(events)
    _shown[consumer] = set(lag)
