"""The words of the change log, the life of a change request, and how severe it is."""

from enum import StrEnum

from services.changes.matters.domain.voting import Outcome
from shared.contracts.governance import Severity
from shared.pure.transitions import Transitions


class ChangeType(StrEnum):
    """ITIL change types. Emergency changes may go to the emergency authority."""

    standard = "standard"
    normal = "normal"
    emergency = "emergency"


class ChangeCategory(StrEnum):
    """What a change touches."""

    scope = "scope"
    schedule = "schedule"
    cost = "cost"
    sla = "sla"
    security = "security"
    data_interface = "data_interface"
    process = "process"
    agreement = "agreement"
    documentation = "documentation"


class ChangeState(StrEnum):
    """Where a change request stands."""

    submitted = "submitted"
    impact_analysis = "impact_analysis"
    pending_decision = "pending_decision"
    approved = "approved"
    rejected = "rejected"
    deferred = "deferred"
    withdrawn = "withdrawn"


class ChangeAction(StrEnum):
    """What may be done to a change request."""

    request_analysis = "request_analysis"
    route = "route"
    approve = "approve"
    reject = "reject"
    defer = "defer"
    escalate = "escalate"
    resume = "resume"
    withdraw = "withdraw"


CHANGE = Transitions(
    {
        (ChangeState.submitted, ChangeAction.request_analysis): ChangeState.impact_analysis,
        (ChangeState.submitted, ChangeAction.route): ChangeState.pending_decision,
        (ChangeState.impact_analysis, ChangeAction.route): ChangeState.pending_decision,
        (ChangeState.pending_decision, ChangeAction.approve): ChangeState.approved,
        (ChangeState.pending_decision, ChangeAction.reject): ChangeState.rejected,
        (ChangeState.pending_decision, ChangeAction.defer): ChangeState.deferred,
        (ChangeState.pending_decision, ChangeAction.escalate): ChangeState.pending_decision,
        (ChangeState.deferred, ChangeAction.resume): ChangeState.pending_decision,
        (ChangeState.impact_analysis, ChangeAction.withdraw): ChangeState.withdrawn,
        (ChangeState.pending_decision, ChangeAction.withdraw): ChangeState.withdrawn,
        (ChangeState.deferred, ChangeAction.withdraw): ChangeState.withdrawn,
    }
)

DECIDED = frozenset({ChangeState.approved, ChangeState.rejected, ChangeState.deferred})
DECIDING = {
    Outcome.approved: ChangeAction.approve,
    Outcome.rejected: ChangeAction.reject,
    Outcome.deferred: ChangeAction.defer,
}


class PriorityLevel(StrEnum):
    """How far the effect reaches, or how soon it will be felt."""

    high = "high"
    medium = "medium"
    low = "low"


SEVERITY: dict[tuple[PriorityLevel, PriorityLevel], Severity] = {
    (PriorityLevel.high, PriorityLevel.high): Severity.critical,
    (PriorityLevel.high, PriorityLevel.medium): Severity.high,
    (PriorityLevel.high, PriorityLevel.low): Severity.moderate,
    (PriorityLevel.medium, PriorityLevel.high): Severity.high,
    (PriorityLevel.medium, PriorityLevel.medium): Severity.moderate,
    (PriorityLevel.medium, PriorityLevel.low): Severity.low,
    (PriorityLevel.low, PriorityLevel.high): Severity.moderate,
    (PriorityLevel.low, PriorityLevel.medium): Severity.low,
    (PriorityLevel.low, PriorityLevel.low): Severity.low,
}


def severity_of(impact: PriorityLevel, urgency: PriorityLevel) -> Severity:
    return SEVERITY[impact, urgency]
