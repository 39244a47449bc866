"""What the relay and the consumers count."""

from prometheus_client import Counter, Gauge

PUBLISHED = Counter("concordat_relay_published", "Events handed to the bus", ["service"])
PUBLISH_FAILURES = Counter(
    "concordat_relay_failures", "Producer generations that ended in an error", ["service"]
)
OLDEST_UNPUBLISHED = Gauge(
    "concordat_relay_oldest_unpublished_seconds", "Age of the oldest waiting event", ["service"]
)

MESSAGES = Counter("concordat_consumer_messages", "Messages by what became of them", ["consumer", "outcome"])
GAPS = Counter("concordat_consumer_gaps", "Events that skipped versions of their aggregate", ["consumer"])
RETRIES = Counter(
    "concordat_consumer_retries", "Tries that failed and will be repeated", ["consumer", "failure"]
)
LAG_SECONDS = Gauge(
    "concordat_consumer_lag_seconds", "Age of the last event when it was handled", ["consumer"]
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
