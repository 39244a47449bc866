"""The life of a matter as the service of its subject sees it, as a table."""

from enum import StrEnum

from shared.pure.transitions import Transitions


class AwaitedState(StrEnum):
    """Where a matter stands that this service has put. `lapsed`: it was decided when its subject waited no more."""

    waiting = "waiting"
    withdrawing = "withdrawing"
    decided = "decided"
    lapsed = "lapsed"
    refused = "refused"
    withdrawn = "withdrawn"


WAITING = (AwaitedState.waiting, AwaitedState.withdrawing)
"""The states in which an answer is still to come."""


class AwaitedAction(StrEnum):
    """What may happen to it: the first three are ours, the others are answers."""

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
        (AwaitedState.waiting, AwaitedAction.change): AwaitedState.waiting,
        (AwaitedState.waiting, AwaitedAction.withdraw): AwaitedState.withdrawing,
        (AwaitedState.waiting, AwaitedAction.send_back): AwaitedState.waiting,
        (AwaitedState.waiting, AwaitedAction.apply): AwaitedState.decided,
        (AwaitedState.waiting, AwaitedAction.lapse): AwaitedState.lapsed,
        (AwaitedState.waiting, AwaitedAction.refuse): AwaitedState.refused,
        (AwaitedState.waiting, AwaitedAction.confirm_withdrawal): AwaitedState.withdrawn,
        # Until it is confirmed, a withdrawal may come too late: the decision is applied then.
        (AwaitedState.withdrawing, AwaitedAction.apply): AwaitedState.decided,
        (AwaitedState.withdrawing, AwaitedAction.lapse): AwaitedState.withdrawn,
        (AwaitedState.withdrawing, AwaitedAction.refuse): AwaitedState.refused,
        (AwaitedState.withdrawing, AwaitedAction.confirm_withdrawal): AwaitedState.withdrawn,
        (AwaitedState.withdrawing, AwaitedAction.refuse_withdrawal): AwaitedState.waiting,
    }
)
