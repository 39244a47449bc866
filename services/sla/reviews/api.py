"""Yearly reviews of agreements and SLAs: only the customer determines them (M3 R5)."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from pydantic.json_schema import SkipJsonSchema

from services.sla.reviews import models, policy, queries, service
from services.sla.reviews.schemas import Review, ReviewInList, ReviewPage
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

router = new_router("reviews", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_REVIEW)]
Overdue = Annotated[bool | SkipJsonSchema[None], Query(description="said to be overdue, or not")]


async def _wanted(
    charter_id: Several[UUID] = None,
    subject_kind: Several[SubjectKind] = None,
    subject_id: Several[UUID] = None,
    state: Several[ReviewState] = None,
    overdue: Overdue = None,
) -> Listing[models.Review]:
    return queries.reviews(
        charter_id=charter_id, subject_kind=subject_kind, subject_id=subject_id, state=state, overdue=overdue
    )


Wanted = Annotated[Listing[models.Review], Depends(_wanted)]


@router.get("/reviews", response_model=ReviewPage)
async def list_reviews(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[ReviewInList]:
    """Reviews of all agreements and SLAs; `from` and `to` bound the day they are due."""
    return await paginate(session, wanted, page, _listed)


@router.get("/reviews.csv", response_class=CsvStream)
async def export_reviews(session: Session, export: Exporting, wanted: Wanted, caller: MayRead) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "reviews", wanted, REVIEWS)


def _listed(row: models.Review, number: str, title: str) -> dict[str, object]:
    shown = Review.model_validate(row).model_dump()
    return shown | {"subject_number": number, "subject_title": title}


REVIEWS = Table(tuple(ReviewInList.model_fields), _listed)


for kind, path in (
    (SubjectKind.agreement, "/agreements/{agreement_id}"),
    (SubjectKind.sla, "/slas/{sla_id}"),
):
    review_routes(router, service.REVIEWS, kind, path, Review, policy.READ_REVIEW)
