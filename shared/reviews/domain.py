"""The clock and the steps of a review, the same for charters (R3), agreements and SLAs (R5).

M3 Playbook 5.3 asks both for a regular review; here at least every 365 days.
"""

from datetime import date, datetime, timedelta
from enum import StrEnum

from shared.calendars.fiscal import ONE_DAY, local_midnight, zone_named
from shared.contracts.governance import Party, Role
from shared.pure.transitions import Transitions

REVIEW_INTERVAL = timedelta(days=365)
DUE_SOON_DAYS = (90, 60, 30, 14, 0)
OVERDUE = "overdue"


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


REVIEW = Transitions(
    {
        (ReviewState.scheduled, ReviewAction.open): ReviewState.open,
        (ReviewState.scheduled, ReviewAction.trigger): ReviewState.open,
        (ReviewState.open, ReviewAction.build_dossier): ReviewState.evidence_gathering,
        (ReviewState.evidence_gathering, ReviewAction.record_findings): ReviewState.findings,
        (ReviewState.findings, ReviewAction.determine): ReviewState.determination,
        (ReviewState.determination, ReviewAction.close): ReviewState.closed,
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


def next_due(last_completed_or_effective: date, instrument_date: date | None = None) -> date:
    """365 days on, or the date the instrument itself names where that is earlier.

    An instrument date that the last review has already met no longer counts.
    """
    due = last_completed_or_effective + REVIEW_INTERVAL
    if instrument_date is None or instrument_date <= last_completed_or_effective:
        return due
    return min(due, instrument_date)


def steps(due: date, zone: str) -> dict[str, datetime]:
    """When each reminder falls, `due_soon:90` to `due_soon:0`, and `overdue`: at the beginning of that local day."""
    days = {f"due_soon:{days}": due - timedelta(days=days) for days in DUE_SOON_DAYS}
    midnights = {step: local_midnight(day, zone_named(zone)) for step, day in days.items()}
    return midnights | {OVERDUE: deadline(due, zone)}


def deadline(due: date, zone: str) -> datetime:
    """The end of the day on which a review is due."""
    return local_midnight(due + ONE_DAY, zone_named(zone))
