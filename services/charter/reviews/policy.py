"""Who may determine the review of a charter."""

from shared.contracts.governance import Role
from shared.web.authz import BOTH, Action

DETERMINE_REVIEW = Action("charter.review.determine", parties=BOTH, roles={Role.business_owner})
