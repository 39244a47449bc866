"""The tables of reviews (`shared.reviews.tables`) in this service."""

from uuid import UUID

from services.sla.base import Base
from shared.reviews.tables import ReviewRow, StatementRow


class ReviewStatement(StatementRow, Base):
    """What the customer determined of an agreement or SLA."""


class Review(ReviewRow, Base):
    """One review of an agreement or SLA. The customer alone determines it."""

    @property
    def rationale(self) -> str:
        return self.statements[0].rationale if self.statements else ""

    @property
    def determined_by(self) -> UUID | None:
        return self.statements[0].member_id if self.statements else None

    @property
    def determiner_name(self) -> str | None:
        return self.statements[0].display_name if self.statements else None
