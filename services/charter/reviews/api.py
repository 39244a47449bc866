"""Charter reviews: once a year both parties determine what becomes of the charter."""

from typing import Annotated
from uuid import UUID

from fastapi import Response

from services.charter.charters.policy import READ_CHARTER
from services.charter.reviews import models, policy, service
from services.charter.reviews.schemas import CharterReview, ReviewDetermine
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("charter_reviews", prefix="/charter/v1")


@router.get("/charters/{charter_id}/review", response_model=CharterReview)
async def get_charter_review(
    charter_id: UUID,
    response: Response,
    session: Session,
    caller: Annotated[Principal, allow(READ_CHARTER)],
) -> models.CharterReview:
    """The running review, with what each party has determined so far."""
    return tagged(response, await service.current(session, charter_id))


@router.post("/charters/{charter_id}/review/determine", response_model=CharterReview)
async def determine_charter_review(
    charter_id: UUID,
    form: ReviewDetermine,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.DETERMINE_REVIEW)],
) -> models.CharterReview:
    """Determine the outcome for the caller's party. `If-Match` takes the ETag of the review."""
    return tagged(response, await service.determine(session, caller, charter_id, form, expected, now))
