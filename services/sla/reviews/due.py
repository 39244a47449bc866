"""Reminders of yearly reviews, the day one is overdue, and the day its subject has ended."""

from services.sla.reviews.service import REVIEWS

KINDS = (REVIEWS.due,)
