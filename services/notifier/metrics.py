"""What the notifier counts."""

from prometheus_client import Counter, Gauge, Histogram

from services.notifier.domain.health import DisableReason
from services.notifier.domain.schedule import DeliveryState, Verdict

ALERTS = Counter("concordat_alerts_total", "Changes of alerts", ("rule", "change"))
ATTEMPTS = Counter("concordat_delivery_attempts_total", "Attempts by what they meant", ("verdict",))
ATTEMPT_SECONDS = Histogram(
    "concordat_delivery_attempt_seconds",
    "Time to an answer or to giving up",
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15),
)
DELIVERIES = Counter("concordat_deliveries_total", "Deliveries that ended, by outcome", ("outcome",))
QUEUE = Gauge("concordat_delivery_queue", "Deliveries not ended, by what they wait for", ("state",))
OLDEST_DUE = Gauge(
    "concordat_delivery_oldest_due_seconds", "How long the delivery that is due longest has been due"
)
DISABLED = Counter(
    "concordat_endpoints_disabled_total", "Endpoints switched off by the notifier", ("reason",)
)
LOST_LEASES = Counter(
    "concordat_delivery_lost_leases_total", "Results dropped because another worker took over"
)

# A counter that appears with a 1 shows no increase, so every series exists from the start.
for verdict in Verdict:
    ATTEMPTS.labels(verdict.value)
for outcome in (DeliveryState.done, DeliveryState.exhausted, DeliveryState.cancelled):
    DELIVERIES.labels(outcome.value)
for reason in DisableReason:
    DISABLED.labels(reason.value)
