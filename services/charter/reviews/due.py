"""Reminders of a charter's review, and the day it is overdue."""

from services.charter.reviews.service import REVIEWS

KINDS = (REVIEWS.due,)
