"""Due-date work: reports are scheduled and come due, answers and yearly reviews too."""

from datetime import timedelta

from services.sla.service.reviews import raise_due
from services.sla.service.scheduling import raise_overdue, raise_unanswered, schedule_ended
from shared.runtime.timers import Timer

_OFTEN = timedelta(seconds=30)

TIMERS = (
    Timer("report_schedule", every=_OFTEN, run=schedule_ended),
    Timer("report_clock", every=_OFTEN, run=raise_overdue),
    Timer("acknowledgement_clock", every=_OFTEN, run=raise_unanswered),
    Timer("review_clock", every=_OFTEN, run=raise_due),
)
