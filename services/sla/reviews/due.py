"""Reminders of yearly reviews, and the day one is overdue."""

from services.sla.reviews.models import Review
from services.sla.reviews.service import REVIEW, remind
from shared.runtime.due import Kind

KINDS = (Kind(REVIEW, Review, remind),)
