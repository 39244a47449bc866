"""SLAs: metrics, dates and the timeline of reports."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from services.sla.slas import models, policy, queries, service
from services.sla.slas.schemas import Sla, SlaCreate, SlaPage, SlaSummary
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

router = new_router("slas", prefix="/sla/v1")

MayRead = Annotated[Principal, allow(policy.READ_SLA)]
SLAS = table_of(SlaSummary)


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


async def _wanted(
    agreement_id: Several[UUID] = None, charter_id: Several[UUID] = None
) -> Listing[models.Sla]:
    return queries.slas(agreement_id=agreement_id, charter_id=charter_id)


Wanted = Annotated[Listing[models.Sla], Depends(_wanted)]


@router.get("/slas", response_model=SlaPage)
async def list_slas(session: Session, page: PageQuery, wanted: Wanted, caller: MayRead) -> Rows[models.Sla]:
    return await paginate(session, wanted, page)


@router.get("/slas.csv", response_class=CsvStream)
async def export_slas(session: Session, export: Exporting, wanted: Wanted, caller: MayRead) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "slas", wanted, SLAS)


@router.get("/slas/{sla_id}", response_model=Sla)
async def get_sla(sla_id: UUID, response: Response, session: Session, caller: MayRead) -> models.Sla:
    return tagged(response, await load(session, models.Sla, sla_id))
