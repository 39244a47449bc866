"""Reminders of a charter's review, and the day it is overdue."""

from services.charter.reviews.models import CharterReview
from services.charter.reviews.service import REVIEW, remind
from shared.runtime.due import Kind

KINDS = (Kind(REVIEW, CharterReview, remind),)
