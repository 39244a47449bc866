"""Who may do what in the sla service."""

from shared.contracts.governance import Role
from shared.web.authz import BOTH, CUSTOMER, EVERYONE, PROVIDER, Action

_OPERATORS = frozenset({Role.om_team, Role.business_owner})

READ_AGREEMENT = Action("agreement.read", parties=EVERYONE)
REGISTER_AGREEMENT = Action(
    "agreement.register", parties=CUSTOMER, roles=_OPERATORS | {Role.contracting_officer}
)
READ_SLA = Action("sla.read", parties=EVERYONE)
REGISTER_SLA = Action("sla.register", parties=BOTH, roles=_OPERATORS)
WRITE_OBSERVATIONS = Action("observation.write", parties=PROVIDER, roles=_OPERATORS)

READ_REPORT = Action("report.read", parties=EVERYONE)
DRAFT_REPORT = Action("report.draft", parties=PROVIDER, roles={Role.om_team})
COMMENT_REPORT = Action("report.comment", parties=PROVIDER, roles=_OPERATORS)
PUBLISH_REPORT = Action("report.publish", parties=PROVIDER, roles={Role.business_owner})
ACKNOWLEDGE_REPORT = Action("report.acknowledge", parties=CUSTOMER, roles=_OPERATORS)

READ_REVIEW = Action("review.read", parties=EVERYONE)
DETERMINE_REVIEW = Action("review.determine", parties=CUSTOMER, roles={Role.business_owner})
