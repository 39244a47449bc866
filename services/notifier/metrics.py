"""What the notifier counts."""

from prometheus_client import Counter, Histogram

ALERTS = Counter("concordat_alerts_total", "Changes of alerts", ("rule", "change"))
ATTEMPTS = Counter("concordat_delivery_attempts_total", "Attempts by what they meant", ("verdict",))
ATTEMPT_SECONDS = Histogram(
    "concordat_delivery_attempt_seconds",
    "Time to an answer or to giving up",
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15),
)
EXHAUSTED = Counter("concordat_deliveries_exhausted_total", "Deliveries given up until replayed")
DISABLED = Counter(
    "concordat_endpoints_disabled_total", "Endpoints switched off by the notifier", ("reason",)
)
LOST_LEASES = Counter(
    "concordat_delivery_lost_leases_total", "Results dropped because another worker took over"
)
