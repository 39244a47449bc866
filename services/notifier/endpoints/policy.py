"""Who may do what with endpoints: they are an organization's own affair."""

from shared.contracts.governance import Role
from shared.web.authz import Action

KEEPERS = frozenset({Role.om_team, Role.business_owner, Role.org_admin})

READ_ENDPOINT = Action("endpoint.read", roles=KEEPERS, own_org=True)
CREATE_ENDPOINT = Action("endpoint.create", roles=KEEPERS, own_org=True)
CHANGE_ENDPOINT = Action("endpoint.change", roles=KEEPERS, own_org=True)
DELETE_ENDPOINT = Action("endpoint.delete", roles=KEEPERS, own_org=True)
ROTATE_SECRET = Action("endpoint.rotate_secret", roles=KEEPERS, own_org=True)
ENABLE_ENDPOINT = Action("endpoint.enable", roles=KEEPERS, own_org=True)
DISABLE_ENDPOINT = Action("endpoint.disable", roles=KEEPERS, own_org=True)
TEST_ENDPOINT = Action("endpoint.test", roles=KEEPERS, own_org=True)
