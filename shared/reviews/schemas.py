"""Determinations, in and out."""

from datetime import datetime
from uuid import UUID

from shared.contracts.governance import Party
from shared.reviews.domain import Determination
from shared.web.schemas import In, Needed, Out


class ReviewDetermine(In):
    """What the caller's party concludes, and why."""

    outcome: Determination
    rationale: Needed


class ReviewStatement(Out):
    """What one party has determined."""

    party: Party
    outcome: Determination
    rationale: str
    member_id: UUID
    stated_at: datetime
