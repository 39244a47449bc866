"""Who may bring in observations."""

from shared.contracts.governance import Role
from shared.web.authz import PROVIDER, Action

WRITE_OBSERVATIONS = Action("observation.write", parties=PROVIDER, roles={Role.om_team, Role.business_owner})
