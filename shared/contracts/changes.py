"""What the changes service publishes: change requests, and whatever a body decides: matters and escalations."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import TYPE_PREFIX, Ask, Event, Open
from shared.contracts.governance import Party, Role, Severity

TOPIC = "concordat.changes"
CHANGE = "change_request"
MATTER = "matter"
ESCALATION = "escalation"


class ChangeSubmitted(Event):
    """A change request entered the log under its number."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.submitted.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    origin: Open[Party]
    severity: Open[Severity]


class ChangeAssessed(Event):
    """The impact of the change request is known; it goes to the body that decides."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.assessed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    impact: dict[str, str]


class ChangeResumed(Event):
    """A deferred change request is up for decision again."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "change.resumed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = CHANGE

    change_id: UUID
    number: str
    title: str
    reason: str


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


class MatterFact(Event):
    """What every fact of a matter says: which subject it is about, and what the matter waits for now."""

    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = MATTER

    matter_id: UUID
    subject_kind: str
    subject_id: UUID
    subject_number: str
    title: str
    asks: tuple[Ask, ...]


class MatterOpened(MatterFact):
    """A body received the matter for decision; `rules` names the row of the charter that grants each dimension."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.opened.v1"

    decision_class: str
    subject_hash: str
    charter_version: int
    body: str
    tier: int
    severity: Open[Severity]
    rules: dict[str, str]
    clock_ends_at: datetime | None


class MatterRefused(MatterFact):
    """What was put cannot be decided as it is. `code` is stable, `message` says what to do next.

    `pointer` is the place of the fault in what was put, where there is one. To try again, put a new matter.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.refused.v1"

    code: str
    message: str
    pointer: str | None


class MatterPositionTaken(MatterFact):
    """A seat took its position."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.position_taken.v1"

    body: str
    seat: str
    party: Open[Party]
    role: Open[Role]
    vote: str


class MatterClockFact(MatterFact):
    """What the clock of a body says about a matter that it holds."""

    body: str
    severity: Open[Severity]
    clock_ends_at: datetime


class MatterClockHalfway(MatterClockFact):
    """Half of the body's time has run."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.clock_halfway.v1"


class MatterClockWarned(MatterClockFact):
    """Three quarters of the body's time have run."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.clock_warned.v1"


class MatterClockEnded(MatterClockFact):
    """The body's time is over and no higher body takes the matter by the clock: it stays until it is decided.

    Where one does, `matter.escalated` says so instead.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.clock_ended.v1"


class MatterEscalated(MatterFact):
    """The next body has the matter: votes cast so far count no more, and a new clock runs."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.escalated.v1"

    escalation_id: UUID
    from_body: str
    body: str
    tier: int
    cause: str
    reason_code: str
    severity: Open[Severity]
    rules: dict[str, str]
    clock_ends_at: datetime | None


class MatterReassigned(MatterFact):
    """A body has the matter anew, over another text: votes cast so far count no more."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.reassigned.v1"

    reason: str
    subject_hash: str
    body: str
    tier: int
    severity: Open[Severity]
    rules: dict[str, str]
    clock_ends_at: datetime | None


class MatterDecided(MatterFact):
    """Both parties decided, over the text with `subject_hash`. The subject's service applies it once."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.decided.v1"

    decision_id: UUID
    decision_number: str
    decision_class: str
    outcome: str
    subject_hash: str
    body: str
    conditions: str
    reason: str


class MatterStale(MatterFact):
    """The decision was not applied: the subject is no longer what was decided upon, or it waits no more."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.stale.v1"

    decision_id: UUID
    reason: str


class MatterWithdrawn(MatterFact):
    """The matter was taken back before it was decided."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.withdrawn.v1"

    reason: str


class MatterWithdrawRefused(MatterFact):
    """It was too late to take the matter back. `decision_id` is the decision that came first, if that is why."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.withdraw_refused.v1"

    code: str
    decision_id: UUID | None


class EscalationRaised(Event):
    """An item was taken to the next body, by a member or by a clock that ran out."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "escalation.raised.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = ESCALATION

    escalation_id: UUID
    subject_kind: str
    subject_id: UUID
    subject_number: str
    title: str
    from_body: str
    to_body: str
    cause: Open[Literal["member", "clock", "deadlock"]]
    reason_code: str
    severity: Open[Severity]
    clock_ends_at: datetime | None


class EscalationElevated(Event):
    """An escalated item went up another rung."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "escalation.elevated.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = ESCALATION

    escalation_id: UUID
    subject_kind: str
    subject_id: UUID
    subject_number: str
    title: str
    from_body: str
    to_body: str
    cause: Open[Literal["member", "clock", "deadlock"]]
    reason_code: str
    severity: Open[Severity]
    clock_ends_at: datetime | None


class EscalationClosed(Event):
    """The escalated item needs no higher body any more: `approved`, `rejected`, `deferred`, `withdrawn` or `refused`."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "escalation.closed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = ESCALATION

    escalation_id: UUID
    subject_kind: str
    subject_id: UUID
    subject_number: str
    outcome: str


# No longer published: the facts of the matter took their place. What is in an archive is still read by these.


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
    severity: Open[Severity]
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
    party: Open[Party]
    vote: Open[Literal["approve", "reject", "defer"]]


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


EVENTS: tuple[type[Event], ...] = (
    ChangeSubmitted,
    ChangeAssessed,
    ChangeResumed,
    ChangeApproved,
    ChangeRejected,
    ChangeDeferred,
    ChangeWithdrawn,
    MatterOpened,
    MatterRefused,
    MatterPositionTaken,
    MatterClockHalfway,
    MatterClockWarned,
    MatterClockEnded,
    MatterEscalated,
    MatterReassigned,
    MatterDecided,
    MatterStale,
    MatterWithdrawn,
    MatterWithdrawRefused,
    EscalationRaised,
    EscalationElevated,
    EscalationClosed,
    ChangeRouted,
    BallotCast,
    ChangeClockWarned,
)
