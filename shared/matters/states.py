"""The life of a matter as the service of its subject sees it, as a table."""

from enum import StrEnum

from shared.pure.transitions import Transitions


class AwaitedMatterState(StrEnum):
    """Where a matter stands that this service has put. `lapsed`: it was decided when its subject waited no more."""

    waiting = "waiting"
    withdrawing = "withdrawing"
    decided = "decided"
    lapsed = "lapsed"
    refused = "refused"
    withdrawn = "withdrawn"


WAITING = (AwaitedMatterState.waiting, AwaitedMatterState.withdrawing)
"""The states in which an answer is still to come."""


class AwaitedAction(StrEnum):
    """What may happen to it: the first two are ours, the others are answers."""

    change = "change"
    withdraw = "withdraw"
    send_back = "send_back"
    apply = "apply"
    lapse = "lapse"
    refuse = "refuse"
    confirm_withdrawal = "confirm_withdrawal"
    refuse_withdrawal = "refuse_withdrawal"


AWAITED = Transitions(
    {
        (AwaitedMatterState.waiting, AwaitedAction.change): AwaitedMatterState.waiting,
        (AwaitedMatterState.waiting, AwaitedAction.withdraw): AwaitedMatterState.withdrawing,
        (AwaitedMatterState.waiting, AwaitedAction.send_back): AwaitedMatterState.waiting,
        (AwaitedMatterState.waiting, AwaitedAction.apply): AwaitedMatterState.decided,
        (AwaitedMatterState.waiting, AwaitedAction.lapse): AwaitedMatterState.lapsed,
        (AwaitedMatterState.waiting, AwaitedAction.refuse): AwaitedMatterState.refused,
        (AwaitedMatterState.waiting, AwaitedAction.confirm_withdrawal): AwaitedMatterState.withdrawn,
        # Until it is confirmed, a withdrawal may come too late: the decision is applied then.
        (AwaitedMatterState.withdrawing, AwaitedAction.apply): AwaitedMatterState.decided,
        (AwaitedMatterState.withdrawing, AwaitedAction.lapse): AwaitedMatterState.withdrawn,
        (AwaitedMatterState.withdrawing, AwaitedAction.refuse): AwaitedMatterState.refused,
        (AwaitedMatterState.withdrawing, AwaitedAction.confirm_withdrawal): AwaitedMatterState.withdrawn,
        (AwaitedMatterState.withdrawing, AwaitedAction.refuse_withdrawal): AwaitedMatterState.waiting,
    }
)
