"""Ending a charter. So far only how that begins: both parties' review said so."""

from services.charter.charters.domain.states import CHARTER, CharterAction
from services.charter.charters.models import Charter


def begin_termination(row: Charter) -> None:
    """The charter stays in force until its notice has run; from now on it is not reviewed any more."""
    row.state = CHARTER.next(row.state, CharterAction.begin_termination)
