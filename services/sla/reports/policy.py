"""Who may do what with performance reports."""

from shared.contracts.governance import Role
from shared.web.authz import CUSTOMER, EVERYONE, PROVIDER, Action

_OPERATORS = frozenset({Role.om_team, Role.business_owner})

READ_REPORT = Action("report.read", parties=EVERYONE)
DRAFT_REPORT = Action("report.draft", parties=PROVIDER, roles={Role.om_team})
COMMENT_REPORT = Action("report.comment", parties=PROVIDER, roles=_OPERATORS)
PUBLISH_REPORT = Action("report.publish", parties=PROVIDER, roles={Role.business_owner})
ACKNOWLEDGE_REPORT = Action("report.acknowledge", parties=CUSTOMER, roles=_OPERATORS)
