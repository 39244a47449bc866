"""The life of a charter: drafted together, frozen, signed by both parties, in force."""

from enum import StrEnum

from shared.pure.transitions import Transitions


class CharterState(StrEnum):
    """`ratification` lasts from the frozen text until it is signed by all and in effect.

    A `terminating` charter is in force until its notice has run, and is not reviewed any more.
    """

    draft = "draft"
    ratification = "ratification"
    active = "active"
    terminating = "terminating"


class CharterAction(StrEnum):
    edit = "edit"
    freeze = "freeze"
    sign = "sign"
    decline = "decline"
    activate = "activate"
    begin_termination = "begin_termination"


CHARTER = Transitions(
    {
        (CharterState.draft, CharterAction.edit): CharterState.draft,
        (CharterState.draft, CharterAction.freeze): CharterState.ratification,
        (CharterState.ratification, CharterAction.sign): CharterState.ratification,
        (CharterState.ratification, CharterAction.decline): CharterState.draft,
        (CharterState.ratification, CharterAction.activate): CharterState.active,
        (CharterState.active, CharterAction.begin_termination): CharterState.terminating,
    }
)
