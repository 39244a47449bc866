"""What the changes service publishes: change requests, decisions and escalations."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import TYPE_PREFIX, Event
from shared.contracts.governance import Party, Severity

TOPIC = "concordat.changes"
CHANGE = "change_request"
ESCALATION = "escalation"


class ChangeSubmitted(Event):
    """A change request entered the log under its number."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.submitted.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    origin: Party
    severity: Severity


class ChangeRouted(Event):
    """A body received the change request for decision; `rules` names the row of every dimension."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.routed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    body: str
    tier: int
    severity: Severity
    rules: dict[str, str]
    clock_ends_at: datetime | None


class BallotCast(Event):
    """One party voted on a change request."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.ballot_cast.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    body: str
    party: Party
    vote: Literal["approve", "reject", "defer"]


class ChangeApproved(Event):
    """Both parties approved at the competent body."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.approved.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    decision_id: UUID
    body: str
    conditions: str


class ChangeRejected(Event):
    """Both parties rejected at the competent body."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.rejected.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    decision_id: UUID
    body: str
    reason: str


class ChangeDeferred(Event):
    """Both parties deferred the decision."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.deferred.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    decision_id: UUID
    body: str
    reason: str


class ChangeWithdrawn(Event):
    """The requester withdrew the change request."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.withdrawn.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    reason: str


class ChangeClockWarned(Event):
    """Three quarters of a rung's clock have run."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.clock_warned.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    body: str
    clock_ends_at: datetime


class EscalationRaised(Event):
    """An item was taken to the next body, by a member or by a clock that ran out."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "escalation.raised.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = ESCALATION

    escalation_id: UUID
    subject_kind: Literal["change_request"]
    subject_id: UUID
    subject_number: str
    title: str
    from_body: str
    to_body: str
    cause: Literal["member", "clock", "deadlock"]
    reason_code: str
    severity: Severity
    clock_ends_at: datetime | None


class EscalationElevated(Event):
    """An escalated item went up another rung."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "escalation.elevated.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = ESCALATION

    escalation_id: UUID
    subject_kind: Literal["change_request"]
    subject_id: UUID
    subject_number: str
    title: str
    from_body: str
    to_body: str
    cause: Literal["member", "clock", "deadlock"]
    reason_code: str
    severity: Severity
    clock_ends_at: datetime | None


class EscalationClosed(Event):
    """The escalated item was decided or withdrawn."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "escalation.closed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = ESCALATION

    escalation_id: UUID
    subject_kind: Literal["change_request"]
    subject_id: UUID
    subject_number: str
    outcome: Literal["approved", "rejected", "deferred", "withdrawn"]


EVENTS: tuple[type[Event], ...] = (
    ChangeSubmitted,
    ChangeRouted,
    BallotCast,
    ChangeApproved,
    ChangeRejected,
    ChangeDeferred,
    ChangeWithdrawn,
    ChangeClockWarned,
    EscalationRaised,
    EscalationElevated,
    EscalationClosed,
)
