"""Who may decide, escalate and read. Voting rights come on top: they stand in the charter's seats."""

from shared.contracts.base import Scope
from shared.contracts.governance import Party, Role
from shared.pure.refusal import Forbidden
from shared.web.authz import BOTH, EVERYONE, Action, Principal, require

WORKING = frozenset({Role.om_team, Role.business_owner})

READ_MATTERS = Action("matter.read", parties=EVERYONE)
DECIDE_MATTER = Action("matter.decide", parties=BOTH)
ESCALATE_MATTER = Action("matter.escalate", parties=BOTH, roles=WORKING)
READ_DECISIONS = Action("decision.read", parties=EVERYONE)
READ_ESCALATIONS = Action("escalation.read", parties=EVERYONE)


def acting_party(caller: Principal, action: Action, scope: Scope) -> Party:
    """The side for which the caller does this; `Forbidden` for observers and for other roles."""
    require(caller, action, scope)
    party = caller.party(scope)
    if party is None:
        raise Forbidden("other_party", "Only the customer or the provider may do this.")
    return party
