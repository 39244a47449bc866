"""Due dates of reports: they are scheduled as periods end, and come due; the customer's answers too."""

from datetime import timedelta

from services.sla.reports.service.scheduling import raise_overdue, raise_unanswered, schedule_ended
from shared.runtime.timers import Timer

_OFTEN = timedelta(seconds=30)

TIMERS = (
    Timer("report_schedule", every=_OFTEN, run=schedule_ended),
    Timer("report_clock", every=_OFTEN, run=raise_overdue),
    Timer("acknowledgement_clock", every=_OFTEN, run=raise_unanswered),
)
