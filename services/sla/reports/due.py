"""Reports come due; the customer's answers too."""

from services.sla.reports.models import Report
from services.sla.reports.service.scheduling import (
    ACKNOWLEDGEMENT,
    PUBLICATION,
    say_overdue,
    say_unanswered,
)
from shared.runtime.due import Kind

KINDS = (Kind(PUBLICATION, Report, say_overdue), Kind(ACKNOWLEDGEMENT, Report, say_unanswered))
