"""Who may do what in the change log. Voting rights come on top: they stand in the charter's seats."""

from shared.contracts.base import Scope
from shared.contracts.governance import Party, Role
from shared.web.authz import BOTH, EVERYONE, Action, Principal, require
from shared.web.problems import Forbidden

WORKING = frozenset({Role.om_team, Role.business_owner})

READ_CHANGES = Action("change.read", parties=EVERYONE)
PREVIEW_ROUTE = Action("change.preview.read", parties=EVERYONE)
SUBMIT_CHANGE = Action("change.submit", parties=BOTH, roles=WORKING)
ASSESS_CHANGE = Action("change.assess", parties=BOTH, roles=WORKING | {Role.isso})
DECIDE_CHANGE = Action("change.decide", parties=BOTH)
ESCALATE_CHANGE = Action("change.escalate", parties=BOTH, roles=WORKING)
WITHDRAW_CHANGE = Action("change.withdraw", parties=BOTH, roles=WORKING)
RESUME_CHANGE = Action("change.resume", parties=BOTH, roles=WORKING)
READ_DECISIONS = Action("decision.read", parties=EVERYONE)
READ_ESCALATIONS = Action("escalation.read", parties=EVERYONE)


def acting_party(caller: Principal, action: Action, scope: Scope) -> Party:
    """The side for which the caller does this; `Forbidden` for observers and for other roles."""
    require(caller, action, scope)
    party = caller.party(scope)
    if party is None:
        raise Forbidden("other_party", "Only the customer or the provider may do this.")
    return party
