"""Agreements: the instruments SLAs hang on."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.sla.agreements import models, policy, queries, service
from services.sla.agreements.domain import AgreementKind
from services.sla.agreements.schemas import Agreement, AgreementCreate, AgreementPage
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import tagged
from shared.web.route import new_router

router = new_router("agreements", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_AGREEMENT)]
ByKind = Annotated[AgreementKind | SkipJsonSchema[None], Query()]
ByCharter = Annotated[UUID | SkipJsonSchema[None], Query()]
COLUMNS = tuple(Agreement.model_fields)


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


@router.get("/agreements", response_model=AgreementPage)
async def list_agreements(
    session: Session, page: PageQuery, caller: MayRead, kind: ByKind = None, charter_id: ByCharter = None
) -> Rows[models.Agreement]:
    return await paginate(session, queries.agreements(kind, charter_id), models.Agreement, page)


@router.get("/agreements.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def export_agreements(
    session: Session, caller: MayRead, kind: ByKind = None, charter_id: ByCharter = None
) -> Response:
    """The same list for spreadsheets."""
    rows = await all_rows(session, queries.agreements(kind, charter_id), models.Agreement)
    return csv_response(
        "agreements.csv", COLUMNS, (Agreement.model_validate(row).model_dump() for row in rows)
    )


@router.get("/agreements/{agreement_id}", response_model=Agreement)
async def get_agreement(
    agreement_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Agreement:
    return tagged(response, await load(session, models.Agreement, agreement_id))
