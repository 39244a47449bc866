"""Charter reviews: once a year both parties determine what becomes of the charter."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from pydantic.json_schema import SkipJsonSchema

from services.charter.charters.policy import READ_CHARTER
from services.charter.reviews import models, queries, service
from services.charter.reviews.schemas import CharterReview, CharterReviewInList, CharterReviewPage
from shared.data.listing import Listing
from shared.data.session import Session
from shared.reviews.domain import ReviewState, SubjectKind
from shared.reviews.routes import review_routes
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, Table
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.route import new_router

router = new_router("charter_reviews", prefix="/charter/v1")


MayRead = Annotated[Principal, allow(READ_CHARTER)]
Overdue = Annotated[bool | SkipJsonSchema[None], Query(description="said to be overdue, or not")]


async def _wanted(
    charter_id: Several[UUID] = None, state: Several[ReviewState] = None, overdue: Overdue = None
) -> Listing[models.Review]:
    return queries.reviews(charter_id=charter_id, state=state, overdue=overdue)


Wanted = Annotated[Listing[models.Review], Depends(_wanted)]


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


def _listed(row: models.Review, number: str, title: str) -> dict[str, object]:
    shown = CharterReview.model_validate(row).model_dump()
    return shown | {"charter_number": number, "charter_title": title}


REVIEWS = Table(tuple(n for n in CharterReviewInList.model_fields if n != "statements"), _listed)


review_routes(
    router, service.REVIEWS, SubjectKind.charter, "/charters/{charter_id}", CharterReview, READ_CHARTER
)
