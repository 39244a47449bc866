"""Who may read the rules."""

from shared.web.authz import Action

READ_RULES = Action("rule.read", own_org=True)
