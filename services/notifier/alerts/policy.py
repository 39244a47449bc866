"""Who may do what with alerts: they are an organization's own affair."""

from shared.web.authz import Action

READ_ALERT = Action("alert.read", own_org=True)
ACKNOWLEDGE_ALERT = Action("alert.acknowledge", own_org=True)
COMMENT_ALERT = Action("alert.comment", own_org=True)
SNOOZE_ALERT = Action("alert.snooze", own_org=True)
RESOLVE_ALERT = Action("alert.resolve", own_org=True)
