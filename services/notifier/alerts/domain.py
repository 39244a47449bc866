"""Alerts: their life, their priority, their history, and until when one may be snoozed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from shared.calendars.business_time import business_calendar
from shared.contracts.governance import CalendarRules, ClockUnit, Party, Role
from shared.pure.refusal import Invalid
from shared.pure.transitions import Transitions

LONGEST_SNOOZE_DAYS = 10
"""Business days. Whoever needs longer snoozes again, and says why again."""
_UNTIL = "/until"


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
    """Open until somebody takes it up; snoozed until a business time; resolved for good. A recurrence opens a new one."""

    open = "open"
    acknowledged = "acknowledged"
    snoozed = "snoozed"
    resolved = "resolved"


class AlertAction(StrEnum):
    """What may happen to an alert."""

    acknowledge = "acknowledge"
    snooze = "snooze"
    resolve = "resolve"
    raise_again = "raise_again"


class Change(StrEnum):
    """What an entry of an alert's history records, and what a ticketing system is sent."""

    opened = "opened"
    updated = "updated"
    reopened = "reopened"
    acknowledged = "acknowledged"
    commented = "commented"
    snoozed = "snoozed"
    resolved = "resolved"


class Resolution(StrEnum):
    """Why an alert is resolved."""

    cause_cleared = "cause_cleared"
    member = "member"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An alert to open, filled with the facts of one event.

    `acting` are the parties that have to act on it; `ends_with_cause`: some event says when its cause is over.
    """

    rule: str
    dedup_key: str
    title: str
    audience: frozenset[Party]
    acting: frozenset[Party]
    ends_with_cause: bool
    roles: tuple[Role, ...]
    priority: Priority
    reopens: bool


LIFE = Transitions(
    {
        (AlertState.open, AlertAction.acknowledge): AlertState.acknowledged,
        (AlertState.open, AlertAction.snooze): AlertState.snoozed,
        (AlertState.open, AlertAction.resolve): AlertState.resolved,
        (AlertState.open, AlertAction.raise_again): AlertState.open,
        (AlertState.acknowledged, AlertAction.snooze): AlertState.snoozed,
        (AlertState.acknowledged, AlertAction.resolve): AlertState.resolved,
        (AlertState.acknowledged, AlertAction.raise_again): AlertState.open,
        (AlertState.snoozed, AlertAction.acknowledge): AlertState.acknowledged,
        (AlertState.snoozed, AlertAction.snooze): AlertState.snoozed,
        (AlertState.snoozed, AlertAction.resolve): AlertState.resolved,
        (AlertState.snoozed, AlertAction.raise_again): AlertState.open,
    }
)


def more_pressing(one: Priority, other: Priority) -> Priority:
    return min(one, other, key=lambda priority: priority.rank)


def check_snooze(until: datetime, now: datetime, rules: CalendarRules) -> None:
    """`Invalid` unless `until` is a business time of the calendar, to come and not too far off (ruling 15.7)."""
    calendar = business_calendar(rules)
    if until <= now:
        raise Invalid("snooze_in_the_past", "Snooze until a time to come.", _UNTIL)
    if until > calendar.deadline(now, LONGEST_SNOOZE_DAYS, ClockUnit.business_days):
        message = f"Snooze for at most {LONGEST_SNOOZE_DAYS} business days. You can snooze again then."
        raise Invalid("snooze_too_long", message, _UNTIL)
    opens = calendar.next_open(until)
    if opens != until:
        local = opens.astimezone(ZoneInfo(rules.zone))
        message = (
            f"Nobody is at work then. The next business time is {local:%A %Y-%m-%d %H:%M} ({rules.zone})."
        )
        raise Invalid("not_business_time", message, _UNTIL)
