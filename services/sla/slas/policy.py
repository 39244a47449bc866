"""Who may do what with SLAs; their results are read by whom they are."""

from shared.contracts.governance import Role
from shared.web.authz import BOTH, EVERYONE, Action

READ_SLA = Action("sla.read", parties=EVERYONE)
REGISTER_SLA = Action("sla.register", parties=BOTH, roles={Role.om_team, Role.business_owner})
