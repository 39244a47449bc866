"""The tables of reviews (`shared.reviews.tables`) in this service."""

from services.charter.base import Base
from shared.reviews.tables import ReviewRow, StatementRow


class ReviewStatement(StatementRow, Base):
    """What one party determined of a charter."""


class Review(ReviewRow, Base):
    """One review of a charter."""

    @property
    def aggregate(self) -> str:
        return "charter_review"
