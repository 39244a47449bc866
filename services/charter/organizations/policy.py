"""Who may read and register organizations."""

from shared.contracts.governance import Role
from shared.web.authz import Action

_NO_MEMBER: frozenset[Role] = frozenset()

READ_ORGANIZATION = Action("organization.read", sysadmin=True)
REGISTER_ORGANIZATION = Action("organization.register", roles=_NO_MEMBER, sysadmin=True)
