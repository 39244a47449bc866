"""The published language: every event of every service. Additive only, lists of words included; `.v1` is part of the type."""

from shared.contracts import audit, changes, charter, matters, notifier, sla
from shared.contracts.base import Registry

TOPICS = (charter.TOPIC, sla.TOPIC, changes.TOPIC, notifier.TOPIC, matters.TOPIC, audit.TOPIC)


def registry() -> Registry:
    """A registry of every published event class."""
    events = Registry()
    for module in (charter, sla, changes, notifier, matters, audit):
        events.register(*module.EVENTS)
    return events
