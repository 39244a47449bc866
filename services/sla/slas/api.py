"""SLAs: metrics, dates and the timeline of reports."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.sla.slas import models, policy, queries, service
from services.sla.slas.schemas import Sla, SlaCreate, SlaPage, SlaSummary
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import tagged
from shared.web.route import new_router

router = new_router("slas", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_SLA)]
ByAgreement = Annotated[UUID | SkipJsonSchema[None], Query()]
ByCharter = Annotated[UUID | SkipJsonSchema[None], Query()]
COLUMNS = tuple(SlaSummary.model_fields)


@router.post("/slas", status_code=201, response_model=Sla)
async def create_sla(
    form: SlaCreate,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.REGISTER_SLA)],
) -> models.Sla:
    """Register an SLA with all its metrics; its reports are scheduled from the running period on."""
    return tagged(response, await service.register(session, caller, form, now))


@router.get("/slas", response_model=SlaPage)
async def list_slas(
    session: Session,
    page: PageQuery,
    caller: MayRead,
    agreement_id: ByAgreement = None,
    charter_id: ByCharter = None,
) -> Rows[models.Sla]:
    return await paginate(session, queries.slas(agreement_id, charter_id), models.Sla, page)


@router.get("/slas.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def export_slas(
    session: Session, caller: MayRead, agreement_id: ByAgreement = None, charter_id: ByCharter = None
) -> Response:
    """The same list for spreadsheets."""
    rows = await all_rows(session, queries.slas(agreement_id, charter_id), models.Sla)
    return csv_response("slas.csv", COLUMNS, (SlaSummary.model_validate(row).model_dump() for row in rows))


@router.get("/slas/{sla_id}", response_model=Sla)
async def get_sla(sla_id: UUID, response: Response, session: Session, caller: MayRead) -> models.Sla:
    return tagged(response, await load(session, models.Sla, sla_id))
