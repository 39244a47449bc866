"""Who may do what with agreements."""

from shared.contracts.governance import Role
from shared.web.authz import CUSTOMER, EVERYONE, Action

READ_AGREEMENT = Action("agreement.read", parties=EVERYONE)
REGISTER_AGREEMENT = Action(
    "agreement.register",
    parties=CUSTOMER,
    roles={Role.om_team, Role.business_owner, Role.contracting_officer},
)
