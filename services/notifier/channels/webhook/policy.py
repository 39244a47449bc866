"""Who may read and try the templates."""

from shared.web.authz import Action

READ_TEMPLATES = Action("template.read", own_org=True)
