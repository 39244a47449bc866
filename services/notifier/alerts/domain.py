"""Alerts: their life, their priority and their history."""

from dataclasses import dataclass
from enum import StrEnum

from shared.contracts.governance import Party, Role
from shared.pure.transitions import Transitions


class Priority(StrEnum):
    """How soon a person must look."""

    urgent = "urgent"
    high = "high"
    normal = "normal"

    @property
    def rank(self) -> int:
        """0 is the most pressing."""
        return list(Priority).index(self)


class AlertState(StrEnum):
    """Open until somebody takes it up; resolved for good. A recurrence opens a new alert."""

    open = "open"
    acknowledged = "acknowledged"
    resolved = "resolved"


class AlertAction(StrEnum):
    """What may happen to an alert."""

    acknowledge = "acknowledge"
    resolve = "resolve"
    raise_again = "raise_again"


class Change(StrEnum):
    """What an entry of an alert's history records, and what a ticketing system is told."""

    opened = "opened"
    updated = "updated"
    reopened = "reopened"
    acknowledged = "acknowledged"
    resolved = "resolved"


class Resolution(StrEnum):
    """Why an alert is resolved."""

    cause_cleared = "cause_cleared"
    member = "member"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An alert to open, filled with the facts of one event."""

    rule: str
    dedup_key: str
    title: str
    audience: frozenset[Party]
    roles: tuple[Role, ...]
    priority: Priority
    reopens: bool


LIFE = Transitions(
    {
        (AlertState.open, AlertAction.acknowledge): AlertState.acknowledged,
        (AlertState.open, AlertAction.resolve): AlertState.resolved,
        (AlertState.open, AlertAction.raise_again): AlertState.open,
        (AlertState.acknowledged, AlertAction.resolve): AlertState.resolved,
        (AlertState.acknowledged, AlertAction.raise_again): AlertState.open,
    }
)


def more_pressing(one: Priority, other: Priority) -> Priority:
    return min(one, other, key=lambda priority: priority.rank)
