"""Who may read and determine reviews."""

from shared.contracts.governance import Role
from shared.web.authz import CUSTOMER, EVERYONE, Action

READ_REVIEW = Action("review.read", parties=EVERYONE)
DETERMINE_REVIEW = Action("review.determine", parties=CUSTOMER, roles={Role.business_owner})
