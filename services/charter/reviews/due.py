"""Reviews come due."""

from datetime import timedelta

from services.charter.reviews.service import raise_due
from shared.runtime.timers import Timer

TIMERS = (Timer("charter_review_clock", every=timedelta(seconds=30), run=raise_due),)
