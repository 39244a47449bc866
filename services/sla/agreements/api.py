"""Agreements: the instruments SLAs hang on."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from services.sla.agreements import models, policy, queries, service
from services.sla.agreements.domain import AgreementKind
from services.sla.agreements.schemas import Agreement, AgreementCreate, AgreementPage
from shared.data.listing import Listing
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, table_of
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import tagged
from shared.web.route import new_router

router = new_router("agreements", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_AGREEMENT)]
AGREEMENTS = table_of(Agreement)


@router.post("/agreements", status_code=201, response_model=Agreement)
async def create_agreement(
    form: AgreementCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.REGISTER_AGREEMENT)],
) -> models.Agreement:
    """Register an agreement; its yearly review by the customer starts."""
    return tagged(response, await service.register(session, caller, form, now))


async def _wanted(
    kind: Several[AgreementKind] = None, charter_id: Several[UUID] = None
) -> Listing[models.Agreement]:
    return queries.agreements(kind=kind, charter_id=charter_id)


Wanted = Annotated[Listing[models.Agreement], Depends(_wanted)]


@router.get("/agreements", response_model=AgreementPage)
async def list_agreements(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[models.Agreement]:
    return await paginate(session, wanted, page)


@router.get("/agreements.csv", response_class=CsvStream)
async def export_agreements(
    session: Session, export: Exporting, wanted: Wanted, caller: MayRead
) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "agreements", wanted, AGREEMENTS)


@router.get("/agreements/{agreement_id}", response_model=Agreement)
async def get_agreement(
    agreement_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Agreement:
    return tagged(response, await load(session, models.Agreement, agreement_id))
