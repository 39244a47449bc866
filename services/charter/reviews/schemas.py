"""Reviews, in and out."""

from datetime import date, datetime
from uuid import UUID

from shared.reviews.domain import Determination, ReviewState
from shared.reviews.schemas import ReviewStatement
from shared.web.pages import Page
from shared.web.schemas import Out


class CharterReview(Out):
    """A yearly review. It closes when the Business Owners of both parties determine the same outcome."""

    id: UUID
    version: int
    charter_id: UUID
    due: date
    state: ReviewState
    is_overdue: bool
    raised: list[str]
    statements: list[ReviewStatement]
    outcome: Determination | None
    determined_at: datetime | None
    created_at: datetime
    updated_at: datetime


class CharterReviewInList(CharterReview):
    """A review with the charter it is about."""

    charter_number: str
    charter_title: str


class CharterReviewPage(Page[CharterReviewInList]):
    """One page of reviews."""
