"""Due dates of yearly reviews."""

from datetime import timedelta

from services.sla.reviews.service import raise_due
from shared.runtime.timers import Timer

TIMERS = (Timer("review_clock", every=timedelta(seconds=30), run=raise_due),)
