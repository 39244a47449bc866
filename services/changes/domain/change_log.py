"""The words of the change log and what a decision is bound to."""

from collections.abc import Mapping
from enum import StrEnum

from shared.pure.canonical import content_hash


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


class BallotStatus(StrEnum):
    """`standing` counts now, `counted` decided, `replaced` was changed by its party, `void` lost its body."""

    standing = "standing"
    counted = "counted"
    replaced = "replaced"
    void = "void"


def fingerprint(snapshot: Mapping[str, object]) -> str:
    """SHA-256 of what was decided upon, so that a later reader can tell whether the text still is the same."""
    return content_hash(snapshot)
