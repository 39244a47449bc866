"""Who may do what in the charter service."""

from shared.contracts.governance import Role
from shared.web.authz import BOTH, EVERYONE, Action

_DRAFTERS = frozenset({Role.om_team, Role.business_owner})
_SIGNATORIES = frozenset({Role.business_owner, Role.executive_sponsor})
_NO_MEMBER: frozenset[Role] = frozenset()

READ_ORGANIZATION = Action("organization.read", sysadmin=True)
REGISTER_ORGANIZATION = Action("organization.register", roles=_NO_MEMBER, sysadmin=True)
READ_MEMBER = Action("member.read", sysadmin=True)
CHANGE_MEMBER = Action("member.change", roles={Role.org_admin}, sysadmin=True, own_org=True)
READ_SELF = Action("self.read", sysadmin=True)

READ_CHARTER = Action("charter.read", parties=EVERYONE)
DRAFT_CHARTER = Action("charter.draft", parties=BOTH, roles=_DRAFTERS)
EDIT_CHARTER = Action("charter.edit", parties=BOTH, roles=_DRAFTERS)
FREEZE_CHARTER = Action("charter.freeze", parties=BOTH, roles=_DRAFTERS)
SIGN_CHARTER = Action("charter.sign", parties=BOTH, roles=_SIGNATORIES)
DECLINE_CHARTER = Action("charter.decline", parties=BOTH, roles=_SIGNATORIES)
DETERMINE_REVIEW = Action("charter.review.determine", parties=BOTH, roles={Role.business_owner})
