"""Escalation: which body has an item next, and how long a body may hold it.

M3 Playbook 5.3: decided as low as possible, and taken higher when it is important, contentious or stuck.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fractions import Fraction

from shared.calendars.business_time import business_calendar
from shared.contracts.governance import Body, ClockUnit, ExecutableCharter, Rung, Severity
from shared.pure.refusal import Refused

HALF, WARNING = Fraction(1, 2), Fraction(3, 4)


class EscalationState(StrEnum):
    open = "open"
    closed = "closed"


class Cause(StrEnum):
    """Who or what took an item up."""

    member = "member"
    clock = "clock"
    deadlock = "deadlock"


class EscalationReason(StrEnum):
    """Why a member takes an item to the next body."""

    urgent = "urgent"
    blocked = "blocked"
    disagreement = "disagreement"
    precedent = "precedent"
    contentious = "contentious"
    cross_customer = "cross_customer"
    legal_policy = "legal_policy"
    public_visibility = "public_visibility"
    safety_payroll = "safety_payroll"


@dataclass(frozen=True, kw_only=True)
class RungClock:
    """How long a body may hold an item, with the rule and the calendar version that say so."""

    starts_at: datetime
    halfway_at: datetime
    warns_at: datetime
    ends_at: datetime
    limit: int
    unit: ClockUnit
    calendar: str
    calendar_version: int
    zone: str


def next_body(content: ExecutableCharter, body_key: str) -> Body:
    """The body that escalations of this one go to; refuses `no_higher_body` at the last rung."""
    body = content.body(body_key)
    if body.parent is None:
        raise Refused(
            "no_higher_body",
            f"The {body.name} is the last rung. Final authority: {final_authority(content)}.",
        )
    return content.body(body.parent)


def final_authority(content: ExecutableCharter) -> str:
    """Who ends an escalation at the last rung, named for both parties."""
    named = (f"{who.role.replace('_', ' ')} of the {who.party}" for who in content.final_authorities)
    return " and ".join(named) or "not named in the charter"


def rung_of(content: ExecutableCharter, body_key: str, severity: Severity) -> Rung | None:
    """The ladder's row for a body and severity; None when the ladder does not mention them."""
    return next((r for r in content.ladder if (r.body, r.severity) == (body_key, severity)), None)


def limit_of(content: ExecutableCharter, body_key: str, severity: Severity) -> tuple[int, ClockUnit] | None:
    """How long the body may hold an item of that severity.

    What the ladder does not time there runs on the body's moderate limit, so that nothing waits
    without a clock; None only where the ladder does not time the body at all.
    """
    rungs = (rung_of(content, body_key, each) for each in (severity, Severity.moderate))
    return next(((rung.limit, rung.unit) for rung in rungs if rung and rung.limit is not None), None)


def clock_of(
    content: ExecutableCharter, body_key: str, severity: Severity, starts_at: datetime
) -> RungClock | None:
    """The clock of a rung that accepts an item at `starts_at`; None where the ladder has none."""
    limited = limit_of(content, body_key, severity)
    if limited is None:
        return None
    limit, unit = limited
    rules = content.calendar(content.body(body_key).calendar)
    calendar = business_calendar(rules)
    ends_at = calendar.deadline(starts_at, limit, unit)
    return RungClock(
        starts_at=starts_at,
        halfway_at=calendar.fraction_point(starts_at, ends_at, HALF),
        warns_at=calendar.fraction_point(starts_at, ends_at, WARNING),
        ends_at=ends_at,
        limit=limit,
        unit=unit,
        calendar=rules.key,
        calendar_version=rules.version,
        zone=rules.zone,
    )


def body_after_expiry(content: ExecutableCharter, body_key: str, severity: Severity) -> Body | None:
    """Where an expired clock sends an item; None when the item stays where it is.

    It stays at the last rung, and where the ladder says of the next body that nothing of this
    severity is timed there: such an item goes up only by a member's reason.
    """
    parent = content.body(body_key).parent
    if parent is None:
        return None
    rung = rung_of(content, parent, severity)
    return None if rung is not None and rung.limit is None else content.body(parent)


def elevated_at(
    content: ExecutableCharter, body_key: str, severity: Severity, expired_at: datetime, now: datetime
) -> datetime:
    """When the next rung accepts an item whose clock expired: at that moment, however late we notice.

    Unless the new clock would be over by now as well: no body gets an item without time to act.
    """
    clock = clock_of(content, body_key, severity, expired_at)
    return now if clock is not None and clock.ends_at <= now else expired_at
