"""As a period ends, its report is owed."""

from services.sla.reports.service.scheduling import schedule_ended
from services.sla.slas.models import Sla
from services.sla.slas.service import PERIOD_END
from shared.runtime.due import Kind

KINDS = (Kind(PERIOD_END, Sla, schedule_ended),)
