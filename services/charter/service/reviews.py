"""The yearly review of a charter (M3 R3): its clock, and the determination both parties make."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.charter import policy, queries
from services.charter.domain.review_clock import wakes_on
from services.charter.domain.text import day_at, starts_at
from services.charter.models import Charter, CharterReview, ReviewStatement, inherited
from services.charter.schemas.charters import ReviewDetermine
from shared.audit import write_audit
from shared.authz import SYSTEM, Principal, require
from shared.contracts.base import Event
from shared.contracts.charter import CharterReviewDetermined, CharterReviewDueSoon, CharterReviewOverdue
from shared.db import load_for_update
from shared.domain.governance import Party
from shared.domain.refusal import Refusal
from shared.domain.reviews import OVERDUE, ReviewState, clock_events, next_due
from shared.errors import PreconditionFailed
from shared.recording import record
