"""Who may do what with deliveries: those who keep the endpoints."""

from services.notifier.endpoints.policy import KEEPERS
from shared.web.authz import Action

READ_DELIVERY = Action("delivery.read", roles=KEEPERS, own_org=True)
REPLAY_DELIVERY = Action("delivery.replay", roles=KEEPERS, own_org=True)
