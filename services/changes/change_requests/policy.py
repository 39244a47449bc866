"""Who may do what in the change log. Voting rights come on top: they stand in the charter's seats."""

from services.changes.matters.policy import WORKING
from shared.contracts.governance import Role
from shared.web.authz import BOTH, EVERYONE, Action

READ_CHANGES = Action("change.read", parties=EVERYONE)
PREVIEW_ROUTE = Action("change.preview.read", parties=EVERYONE)
SUBMIT_CHANGE = Action("change.submit", parties=BOTH, roles=WORKING)
ASSESS_CHANGE = Action("change.assess", parties=BOTH, roles=WORKING | {Role.isso})
DECIDE_CHANGE = Action("change.decide", parties=BOTH)
ESCALATE_CHANGE = Action("change.escalate", parties=BOTH, roles=WORKING)
WITHDRAW_CHANGE = Action("change.withdraw", parties=BOTH, roles=WORKING)
RESUME_CHANGE = Action("change.resume", parties=BOTH, roles=WORKING)
