"""The life of a matter, as a table."""

from enum import StrEnum

from shared.pure.transitions import Transitions


class MatterState(StrEnum):
    """Where a matter stands. A stale one was decided, but its subject could not take the decision."""

    put = "put"
    open = "open"
    refused = "refused"
    decided = "decided"
    stale = "stale"
    withdrawn = "withdrawn"


class MatterAction(StrEnum):
    """What may happen to a matter."""

    open = "open"
    refuse = "refuse"
    vote = "vote"
    elevate = "elevate"
    reassign = "reassign"
    decide = "decide"
    withdraw = "withdraw"
    not_applied = "not_applied"


MATTER = Transitions(
    {
        (MatterState.put, MatterAction.open): MatterState.open,
        (MatterState.put, MatterAction.refuse): MatterState.refused,
        (MatterState.open, MatterAction.vote): MatterState.open,
        (MatterState.open, MatterAction.elevate): MatterState.open,
        (MatterState.open, MatterAction.reassign): MatterState.open,
        (MatterState.open, MatterAction.refuse): MatterState.refused,
        (MatterState.open, MatterAction.decide): MatterState.decided,
        (MatterState.open, MatterAction.withdraw): MatterState.withdrawn,
        (MatterState.decided, MatterAction.not_applied): MatterState.stale,
        (MatterState.stale, MatterAction.reassign): MatterState.open,
        (MatterState.stale, MatterAction.refuse): MatterState.refused,
    }
)
