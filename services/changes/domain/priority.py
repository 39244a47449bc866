"""Severity from impact and urgency, as a table (ITIL priority matrix)."""

from enum import StrEnum

from shared.contracts.governance import Severity


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
