"""Reports come due; the customer's answers too."""

from services.sla.reports.models import Report
from services.sla.reports.service.scheduling import (
    ACKNOWLEDGEMENT,
    PUBLICATION,
    mark_overdue,
    mark_unanswered,
)
from shared.runtime.due import Kind

KINDS = (Kind(PUBLICATION, Report, mark_overdue), Kind(ACKNOWLEDGEMENT, Report, mark_unanswered))
