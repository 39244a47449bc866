"""The executable charter: what a ratified charter says, as data that a machine can follow.

It travels whole inside `charter.activated`, so that every service decides by the same text
(M3 Playbook 5.3, activities R1 and R2). Amounts are `Decimal`; times of day are local to the
calendar's zone.
"""

from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from typing import Final

TEXT_FORMAT: Final = 1
"""How charters are written down to be signed: 1 is the RFC 8785 JSON of `ExecutableCharter`.

A signed text keeps the format it was signed in. `ExecutableCharter` may grow: a text without a newer field is read
with the field's default, and neither its bytes nor its hash move.
"""


class Party(StrEnum):
    """The two sides that govern together."""

    customer = "customer"
    provider = "provider"

    @property
    def other(self) -> "Party":
        return Party.provider if self is Party.customer else Party.customer


class Role(StrEnum):
    """What a member does for its organization (M3 glossary, plus what the system needs)."""

    business_owner = "business_owner"
    om_team = "om_team"
    executive_sponsor = "executive_sponsor"
    contracting_officer = "contracting_officer"
    isso = "isso"
    secretariat = "secretariat"
    observer = "observer"
    org_admin = "org_admin"


class Severity(StrEnum):
    """How bad it is; sets the clock of each rung."""

    critical = "critical"
    high = "high"
    moderate = "moderate"
    low = "low"


class BodyKind(StrEnum):
    """A standing body decides ordinary items; an emergency body only emergency changes."""

    standing = "standing"
    emergency = "emergency"


class LimitKind(StrEnum):
    """How a decision right bounds one dimension of an item's impact.

    `at_most` is an inclusive upper bound, `below` a half-open one (variance bands),
    `one_of` a list of allowed levels, `any` no limit, `none` no right at all.
    """

    at_most = "at_most"
    below = "below"
    one_of = "one_of"
    any = "any"
    none = "none"


AMOUNT_KINDS = (LimitKind.at_most, LimitKind.below)
SAVINGS = ("savings_one_time", "savings_annual")
"""What an item saves, in US dollars: every charter knows these two dimensions, and neither routes."""


class ClockUnit(StrEnum):
    """Business hours and federal business days, both counted in a body's calendar."""

    business_hours = "business_hours"
    business_days = "business_days"


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A place in a body. `member_id` and `alternate_id` name people; both may still be open."""

    party: Party
    role: Role
    voting: bool = True
    member_id: str | None = None
    alternate_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Quorum:
    """The least number of voting seats that must be present, per party."""

    customer: int
    provider: int


@dataclass(frozen=True, kw_only=True)
class Body:
    """A governance body: `tier` 1 is the lowest; `parent` is the body its escalations go to."""

    key: str
    name: str
    tier: int
    kind: BodyKind = BodyKind.standing
    parent: str | None = None
    seats: tuple[Seat, ...]
    quorum: Quorum
    chair: Party | None = None
    cadence_stabilization: str = ""
    cadence_steady: str = ""
    calendar: str = "federal"


@dataclass(frozen=True, kw_only=True)
class DecisionRight:
    """One row of the decision-rights table: `body` may decide `dimension` within the limit.

    `id` is stable and is what an explanation names. For `at_most` and `below`, `amount` is in the
    dimension's unit; with `percent_of` it is a percentage of that named reference amount. `levels`
    are what `one_of` allows; on a row of kind `any`, the levels that only this body decides.
    """

    id: str
    dimension: str
    body: str
    kind: LimitKind
    amount: Decimal | None = None
    percent_of: str | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rung:
    """How long a body may hold an item of a severity before the item moves up by itself.

    `limit` None: no clock at this rung (the item stays until decided).
    """

    body: str
    severity: Severity
    limit: int | None
    unit: ClockUnit = ClockUnit.business_days


@dataclass(frozen=True, kw_only=True)
class FinalAuthority:
    """Who ends an escalation at the last rung, one per party."""

    party: Party
    role: Role
    member_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class OpenHours:
    """Open from `opens` to `closes` on one weekday (0 = Monday). Several rows a day are allowed."""

    weekday: int
    opens: time
    closes: time


@dataclass(frozen=True, kw_only=True)
class Closure:
    """A recorded closure (weather, lapse in appropriations), never deduced."""

    day: date
    reason: str


@dataclass(frozen=True, kw_only=True)
class CalendarRules:
    """A business calendar: zone, weekly hours, federal holidays or not, recorded closures.

    `version` grows with every edit; results store the version that produced them.
    """

    key: str
    zone: str
    hours: tuple[OpenHours, ...]
    federal_holidays: bool = True
    closures: tuple[Closure, ...] = ()
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A reason for which the charter lets a rung's clock stand still, and for how long at most."""

    reason: str
    max_business_days: int = 5


@dataclass(frozen=True, kw_only=True)
class ReportingObligation:
    """Who owes which report by which business day after the period ends (M3 R2, R4)."""

    key: str
    name: str
    producer: Party
    due_business_day: int
    acknowledge_within_business_days: int = 10


@dataclass(frozen=True, kw_only=True)
class ExecutableCharter:
    """Everything the other services follow. Keys are unique within their list."""

    title: str
    services_in_scope: tuple[str, ...]
    outcomes: tuple[str, ...]
    authority: str
    effective_date: date
    next_review_due: date
    bodies: tuple[Body, ...]
    decision_rights: tuple[DecisionRight, ...]
    ladder: tuple[Rung, ...]
    final_authorities: tuple[FinalAuthority, ...]
    calendars: tuple[CalendarRules, ...]
    pauses: tuple[Pause, ...] = ()
    reporting: tuple[ReportingObligation, ...] = ()
    reference_amounts: dict[str, Decimal] | None = None
    required_dimensions: tuple[str, ...] = ()
    remediation_policy: str = ""
    emergency_review_business_days: int = 5
    termination_notice_days: int = 180

    @cached_property
    def rights_of_bodies(self) -> dict[str, dict[str, list[DecisionRight]]]:
        """The decision rights of each body that has any, by dimension, in the charter's order."""
        rights: dict[str, dict[str, list[DecisionRight]]] = {}
        for right in self.decision_rights:
            rights.setdefault(right.body, {}).setdefault(right.dimension, []).append(right)
        return rights

    @cached_property
    def bounds(self) -> dict[str, Fraction]:
        """The amount of each right that has one, by the right's id, in its dimension's unit; a percentage is taken of
        its reference amount, exactly, and left out where the charter does not state that amount."""
        references = {None: Decimal(100)} | (self.reference_amounts or {})
        return {
            right.id: Fraction(right.amount) * Fraction(references[right.percent_of]) / 100
            for right in self.decision_rights
            if right.amount is not None and right.percent_of in references
        }

    @cached_property
    def routing_dimensions(self) -> tuple[str, ...]:
        """Every dimension that routes: there is a rule or a requirement for it; in the charter's order."""
        named = (right.dimension for right in self.decision_rights)
        return tuple(d for d in dict.fromkeys((*self.required_dimensions, *named)) if d not in SAVINGS)

    @cached_property
    def levels_of_dimensions(self) -> dict[str, tuple[str, ...]]:
        """Every level a dimension knows, in the charter's order; dimensions without levels are left out."""
        named = [(right.dimension, level) for right in self.decision_rights for level in right.levels]
        return {
            dimension: tuple(dict.fromkeys(level for of, level in named if of == dimension))
            for dimension in dict.fromkeys(of for of, _ in named)
        }

    @cached_property
    def amount_dimensions(self) -> frozenset[str]:
        """The dimensions that are limited by an amount; the others by levels, or not at all."""
        return frozenset(r.dimension for r in self.decision_rights if r.kind in AMOUNT_KINDS)

    def body(self, key: str) -> Body:
        """The body with that key; `KeyError` when the charter has none."""
        for body in self.bodies:
            if body.key == key:
                return body
        raise KeyError(key)

    def calendar(self, key: str) -> CalendarRules:
        """The calendar with that key; `KeyError` when the charter has none."""
        for calendar in self.calendars:
            if calendar.key == key:
                return calendar
        raise KeyError(key)
