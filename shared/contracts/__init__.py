"""The published language: every event of every service. Additive only; `.v1` is part of the type."""

from shared.contracts import audit, changes, charter, notifier, sla
from shared.contracts.base import Registry

TOPICS = (charter.TOPIC, sla.TOPIC, changes.TOPIC, notifier.TOPIC, audit.TOPIC)


def registry() -> Registry:
    """A registry of every published event class."""
    events = Registry()
    events.register(*charter.EVENTS, *sla.EVENTS, *changes.EVENTS, *notifier.EVENTS, *audit.EVENTS)
    return events
