"""Yearly reviews, in and out."""

from datetime import date, datetime
from uuid import UUID

from shared.reviews.domain import Determination, ReviewState, SubjectKind
from shared.web.pages import Page
from shared.web.schemas import Out


class Review(Out):
    """A yearly review of an agreement or SLA (M3 R5), running or determined."""

    id: UUID
    version: int
    charter_id: UUID
    subject_kind: SubjectKind
    subject_id: UUID
    due: date
    zone: str
    state: ReviewState
    is_overdue: bool
    raised: list[str]
    outcome: Determination | None
    rationale: str
    determined_at: datetime | None
    determined_by: UUID | None
    determiner_name: str | None
    created_at: datetime
    updated_at: datetime


class ReviewInList(Review):
    """A review with what it is about."""

    subject_number: str
    subject_title: str


class ReviewPage(Page[ReviewInList]):
    """One page of reviews."""
