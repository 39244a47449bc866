"""Alerts that were snoozed open again."""

from services.notifier.alerts.models import Alert
from services.notifier.alerts.service import SNOOZE, wake
from shared.runtime.due import Kind

KINDS = (Kind(SNOOZE, Alert, wake),)
