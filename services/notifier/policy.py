"""Who may do what in the notifier. Alerts and endpoints are an organization's own affair."""

from shared.contracts.governance import Role
from shared.web.authz import Action

_KEEPERS = frozenset({Role.om_team, Role.business_owner, Role.org_admin})

READ_ALERT = Action("alert.read", own_org=True)
ACKNOWLEDGE_ALERT = Action("alert.acknowledge", own_org=True)
RESOLVE_ALERT = Action("alert.resolve", own_org=True)

READ_ENDPOINT = Action("endpoint.read", roles=_KEEPERS, own_org=True)
CREATE_ENDPOINT = Action("endpoint.create", roles=_KEEPERS, own_org=True)
CHANGE_ENDPOINT = Action("endpoint.change", roles=_KEEPERS, own_org=True)
DELETE_ENDPOINT = Action("endpoint.delete", roles=_KEEPERS, own_org=True)
ROTATE_SECRET = Action("endpoint.rotate_secret", roles=_KEEPERS, own_org=True)
ENABLE_ENDPOINT = Action("endpoint.enable", roles=_KEEPERS, own_org=True)
DISABLE_ENDPOINT = Action("endpoint.disable", roles=_KEEPERS, own_org=True)
TEST_ENDPOINT = Action("endpoint.test", roles=_KEEPERS, own_org=True)

READ_DELIVERY = Action("delivery.read", roles=_KEEPERS, own_org=True)
REPLAY_DELIVERY = Action("delivery.replay", roles=_KEEPERS, own_org=True)

READ_RULES = Action("rule.read", own_org=True)
READ_TEMPLATES = Action("template.read", own_org=True)
