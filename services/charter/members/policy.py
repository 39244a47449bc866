"""Who may read and change members."""

from shared.contracts.governance import Role
from shared.web.authz import Action

READ_MEMBER = Action("member.read", sysadmin=True)
CHANGE_MEMBER = Action("member.change", roles={Role.org_admin}, sysadmin=True, own_org=True)
READ_SELF = Action("self.read", sysadmin=True)
