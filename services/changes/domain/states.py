"""The life of a change request from submission to decision, as a table."""

from enum import StrEnum

from services.changes.domain.ballot import Outcome
from shared.pure.transitions import Transitions


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

DECIDING = {
    Outcome.approved: ChangeAction.approve,
    Outcome.rejected: ChangeAction.reject,
    Outcome.deferred: ChangeAction.defer,
}
