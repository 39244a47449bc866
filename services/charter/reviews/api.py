"""Charter reviews: once a year both parties determine what becomes of the charter."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.charter.charters.policy import READ_CHARTER
from services.charter.reviews import models, policy, queries, service
from services.charter.reviews.schemas import (
    CharterReview,
    CharterReviewInList,
    CharterReviewPage,
    ReviewDetermine,
)
from shared.data.listing import Listing
from shared.data.session import Session
from shared.reviews.domain import ReviewState
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, Table
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("charter_reviews", prefix="/charter/v1")


MayRead = Annotated[Principal, allow(READ_CHARTER)]
Overdue = Annotated[bool | SkipJsonSchema[None], Query(description="said to be overdue, or not")]


async def _wanted(
    charter_id: Several[UUID] = None, state: Several[ReviewState] = None, overdue: Overdue = None
) -> Listing[models.CharterReview]:
    return queries.reviews(charter_id=charter_id, state=state, overdue=overdue)


Wanted = Annotated[Listing[models.CharterReview], Depends(_wanted)]


@router.get("/reviews", response_model=CharterReviewPage)
async def list_charter_reviews(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[CharterReviewInList]:
    """Reviews of all charters; `from` and `to` bound the day they are due."""
    return await paginate(session, wanted, page, _listed)


@router.get("/reviews.csv", response_class=CsvStream)
async def export_charter_reviews(
    session: Session, export: Exporting, wanted: Wanted, caller: MayRead
) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "charter_reviews", wanted, REVIEWS)


def _listed(row: models.CharterReview, number: str, title: str) -> dict[str, object]:
    shown = CharterReview.model_validate(row).model_dump()
    return shown | {"charter_number": number, "charter_title": title}


REVIEWS = Table(tuple(n for n in CharterReviewInList.model_fields if n != "statements"), _listed)


@router.get("/charters/{charter_id}/review", response_model=CharterReview)
async def get_charter_review(
    charter_id: UUID,
    response: Response,
    session: Session,
    caller: MayRead,
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
