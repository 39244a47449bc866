"""Yearly reviews of agreements and SLAs: only the customer determines them (M3 R5)."""

from typing import Annotated
from uuid import UUID

from fastapi import Response

from services.sla.reviews import models, policy, service
from services.sla.reviews.schemas import Review, ReviewDetermine
from shared.data.session import Session
from shared.reviews.domain import SubjectKind
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("reviews", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_REVIEW)]
MayDetermine = Annotated[Principal, allow(policy.DETERMINE_REVIEW)]


@router.get("/agreements/{agreement_id}/review", response_model=Review)
async def get_agreement_review(
    agreement_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Review:
    """The running review of an agreement."""
    return tagged(response, await service.current(session, SubjectKind.agreement, agreement_id))


@router.get("/slas/{sla_id}/review", response_model=Review)
async def get_sla_review(
    sla_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Review:
    """The running review of an SLA."""
    return tagged(response, await service.current(session, SubjectKind.sla, sla_id))


@router.post("/agreements/{agreement_id}/review/determine", response_model=Review)
async def determine_agreement_review(
    agreement_id: UUID,
    form: ReviewDetermine,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: MayDetermine,
) -> models.Review:
    """Close the review with an outcome; the next one is due in 365 days. If-Match: the review's ETag."""
    return tagged(
        response,
        await service.determine(session, caller, SubjectKind.agreement, agreement_id, form, expected, now),
    )


@router.post("/slas/{sla_id}/review/determine", response_model=Review)
async def determine_sla_review(
    sla_id: UUID,
    form: ReviewDetermine,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: MayDetermine,
) -> models.Review:
    """Close the review with an outcome; the next one is due in 365 days. If-Match: the review's ETag."""
    return tagged(
        response, await service.determine(session, caller, SubjectKind.sla, sla_id, form, expected, now)
    )
