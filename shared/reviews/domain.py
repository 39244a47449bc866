"""The clock and the steps of a review, the same for charters (R3), agreements and SLAs (R5).

M3 Playbook 5.3 asks both for a regular review; here at least every 365 days.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from shared.calendars.zones import ONE_DAY, local_midnight, zone_named
from shared.contracts.governance import Party, Role
from shared.pure.transitions import Transitions

REVIEW_INTERVAL = timedelta(days=365)
DUE_SOON_DAYS = (90, 60, 30, 14, 0)
OVERDUE = "overdue"
ENDED = "ended"
DECISION_LEAD = timedelta(days=30)
"""How long before its notice must be given what becomes of an instrument is decided at the latest."""


class SubjectKind(StrEnum):
    """What is reviewed."""

    charter = "charter"
    agreement = "agreement"
    sla = "sla"


class ReviewState(StrEnum):
    """Where a review stands. Overdue is not a state: it lies over any of them."""

    scheduled = "scheduled"
    open = "open"
    evidence_gathering = "evidence_gathering"
    findings = "findings"
    determination = "determination"
    closed = "closed"
    cancelled = "cancelled"


class ReviewAction(StrEnum):
    """What may be done to a review. `trigger` opens it early, `cancel` when its subject has ended."""

    open = "open"
    trigger = "trigger"
    build_dossier = "build_dossier"
    record_findings = "record_findings"
    determine = "determine"
    close = "close"
    cancel = "cancel"


class Determination(StrEnum):
    """What a review concludes."""

    no_change = "no_change"
    amend = "amend"
    renew = "renew"
    rebid = "rebid"
    terminate = "terminate"

    @property
    def needs_follow_up(self) -> bool:
        """Whether the review may close only once an amendment or other follow-up exists."""
        return self is not Determination.no_change

    @property
    def ends_the_subject(self) -> bool:
        """Whether the subject is to end, so that no further review of it comes due."""
        return self is Determination.terminate


REVIEW = Transitions(
    {
        (ReviewState.scheduled, ReviewAction.open): ReviewState.open,
        (ReviewState.scheduled, ReviewAction.trigger): ReviewState.open,
        (ReviewState.open, ReviewAction.build_dossier): ReviewState.evidence_gathering,
        (ReviewState.evidence_gathering, ReviewAction.record_findings): ReviewState.findings,
        (ReviewState.findings, ReviewAction.determine): ReviewState.determination,
        (ReviewState.determination, ReviewAction.close): ReviewState.closed,
        # A review without a dossier closes at once when all its signers have determined the same.
        (ReviewState.open, ReviewAction.close): ReviewState.closed,
        (ReviewState.scheduled, ReviewAction.cancel): ReviewState.cancelled,
        (ReviewState.open, ReviewAction.cancel): ReviewState.cancelled,
        (ReviewState.evidence_gathering, ReviewAction.cancel): ReviewState.cancelled,
        (ReviewState.findings, ReviewAction.cancel): ReviewState.cancelled,
        (ReviewState.determination, ReviewAction.cancel): ReviewState.cancelled,
    }
)

_CUSTOMER_OWNER = (Party.customer, Role.business_owner)
_PROVIDER_OWNER = (Party.provider, Role.business_owner)
_SIGNERS = {
    SubjectKind.charter: frozenset({_CUSTOMER_OWNER, _PROVIDER_OWNER}),
    SubjectKind.agreement: frozenset({_CUSTOMER_OWNER}),
    SubjectKind.sla: frozenset({_CUSTOMER_OWNER}),
}


def required_signers(subject: SubjectKind) -> frozenset[tuple[Party, Role]]:
    """Who must sign a determination, all of them: the customer cannot close a charter review
    alone, and the provider cannot close the review of an agreement or SLA at all."""
    return _SIGNERS[subject]


@dataclass(frozen=True)
class Term:
    """How long a subject lasts, and how many days before its end notice must be given. `ends` None: until it is ended."""

    ends: date | None = None
    notice_days: int = 0

    @property
    def decide_by(self) -> date | None:
        """The last day on which a decision about its future can still be carried out."""
        return None if self.ends is None else self.ends - timedelta(days=self.notice_days) - DECISION_LEAD


def first_due(effective: date, named: date | None = None, term: Term = Term()) -> date:
    """When the first review is due: after 365 days, on the day the instrument names, or when its end must be decided.

    The earliest counts. An instrument too short for its own notice is reviewed on its first day.
    """
    decide_by = None if term.decide_by is None else max(term.decide_by, effective)
    candidates = [effective + REVIEW_INTERVAL, decide_by, named if named and named > effective else None]
    return min(day for day in candidates if day is not None)


def next_due(determined: date, was_due: date, term: Term = Term()) -> date:
    """When the next review is due: 365 days after the determination, or earlier when the end must be decided.

    What the closed review was due for, or came too late for, is settled. A day after the subject's end means that no
    further review is needed.
    """
    yearly = determined + REVIEW_INTERVAL
    if term.decide_by is None or term.decide_by <= max(determined, was_due):
        return yearly
    return min(yearly, term.decide_by)


def steps(due: date, zone: str, term: Term = Term()) -> dict[str, datetime]:
    """When each reminder falls, `due_soon:90` to `due_soon:0`, and `overdue`: at the beginning of that local day.

    `ended` is when the subject has lasted its last day. A review due after that day is not asked for.
    """
    place = zone_named(zone)
    moments: dict[str, datetime] = {}
    if term.ends is None or due <= term.ends:
        days = {f"due_soon:{days}": due - timedelta(days=days) for days in DUE_SOON_DAYS}
        moments = {step: local_midnight(day, place) for step, day in days.items()} | {
            OVERDUE: deadline(due, zone)
        }
    if term.ends is not None:
        moments[ENDED] = local_midnight(term.ends + ONE_DAY, place)
    return moments


def deadline(due: date, zone: str) -> datetime:
    """The end of the day on which a review is due."""
    return local_midnight(due + ONE_DAY, zone_named(zone))
