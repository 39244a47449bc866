"""The change-request table and the priority table."""

from itertools import product

import pytest

from services.changes.change_requests.domain import (
    CHANGE,
    ChangeAction,
    ChangeState,
    PriorityLevel,
    severity_of,
)
from shared.contracts.governance import Severity
from shared.pure.refusal import Refusal


@pytest.mark.parametrize("state", [ChangeState.approved, ChangeState.rejected, ChangeState.withdrawn])
def test_a_decided_or_withdrawn_change_is_final(state: ChangeState) -> None:
    assert CHANGE.allowed(state) == ()


def test_escalation_keeps_a_change_pending() -> None:
    assert CHANGE.next(ChangeState.pending_decision, ChangeAction.escalate) is ChangeState.pending_decision


def test_a_deferred_change_can_be_resumed_or_withdrawn_only() -> None:
    assert set(CHANGE.allowed(ChangeState.deferred)) == {ChangeAction.resume, ChangeAction.withdraw}


@pytest.mark.parametrize("action", [ChangeAction.approve, ChangeAction.reject, ChangeAction.defer])
def test_nothing_is_decided_before_it_is_assessed(action: ChangeAction) -> None:
    with pytest.raises(Refusal, match="impact_analysis"):
        CHANGE.next(ChangeState.impact_analysis, action)


def test_every_priority_has_a_severity_and_the_matrix_is_symmetric() -> None:
    for impact, urgency in product(PriorityLevel, PriorityLevel):
        assert severity_of(impact, urgency) is severity_of(urgency, impact)
    assert severity_of(PriorityLevel.high, PriorityLevel.high) is Severity.critical
    assert severity_of(PriorityLevel.low, PriorityLevel.low) is Severity.low
