"""What the service of a subject publishes to have it decided: any service may, so the topic is nobody's own.

A matter is what a body decides. The service of its subject makes the matter's id and puts it; `changes` answers with
`matter.opened` or `matter.refused`, then with one of `matter.decided` and `matter.withdrawn` (shared/contracts/changes.py).
"""

from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import TYPE_PREFIX, Event, Open
from shared.contracts.changes import MATTER
from shared.contracts.governance import Party, Severity

TOPIC = "concordat.matters"


class SubjectFact(Event):
    """The subject as its service sees it now. `subject_hash` is over the text that is decided upon.

    `impact` gives amounts (as text) and levels by the dimensions of the charter.
    """

    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = MATTER

    matter_id: UUID
    subject_kind: str
    subject_id: UUID
    subject_number: str
    title: str
    subject_hash: str
    impact: dict[str, str]
    severity: Open[Severity]


class MatterPut(SubjectFact):
    """A subject is put to decision. Twice with one `matter_id` is once.

    `charter_version` is the version the subject entered with; None takes the one in force. `requested_body` asks for
    a higher body than the computed one and needs a `reason_code`.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.put.v1"

    decision_class: str
    question: str
    origin: Open[Party]
    requester_id: UUID | None
    requester_name: str
    charter_version: int | None
    requested_body: str | None
    reason_code: str | None


class MatterSubjectChanged(SubjectFact):
    """The text or the impact of a subject changed while it waits: votes on the former text count no more."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.subject_changed.v1"

    what_changed: str


class MatterWithdrawAsked(Event):
    """The subject shall not be decided any more. Answered by `matter.withdrawn` or `matter.withdraw_refused`."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.withdraw_asked.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = MATTER

    matter_id: UUID
    subject_kind: str
    subject_id: UUID
    reason: str


class MatterOutcomeNotApplied(SubjectFact):
    """A decision came over a text that is no longer the subject's, or for one that waits no more.

    The matter turns stale; with `waits` it goes back to a body over the text of this event.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "matter.outcome_not_applied.v1"

    decision_id: UUID
    reason: Open[Literal["subject_changed", "no_longer_waiting"]]
    waits: bool


EVENTS: tuple[type[Event], ...] = (
    MatterPut,
    MatterSubjectChanged,
    MatterWithdrawAsked,
    MatterOutcomeNotApplied,
)
