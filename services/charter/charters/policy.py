"""Who may read, draft and sign charters."""

from shared.contracts.governance import Role
from shared.web.authz import BOTH, EVERYONE, Action

_DRAFTERS = frozenset({Role.om_team, Role.business_owner})
_SIGNATORIES = frozenset({Role.business_owner, Role.executive_sponsor})

READ_CHARTER = Action("charter.read", parties=EVERYONE)
DRAFT_CHARTER = Action("charter.draft", parties=BOTH, roles=_DRAFTERS)
EDIT_CHARTER = Action("charter.edit", parties=BOTH, roles=_DRAFTERS)
FREEZE_CHARTER = Action("charter.freeze", parties=BOTH, roles=_DRAFTERS)
SIGN_CHARTER = Action("charter.sign", parties=BOTH, roles=_SIGNATORIES)
DECLINE_CHARTER = Action("charter.decline", parties=BOTH, roles=_SIGNATORIES)
