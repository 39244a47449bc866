"""Escalations: what is on its way up, where it is, and why."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Select

from services.changes import policy, queries
from services.changes.domain.escalation import EscalationState
from services.changes.models import Escalation
from services.changes.schemas import escalations as schemas
from services.changes.service import escalating
from shared.data.session import Session
from shared.web.app import new_router
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import tagged
from shared.web.schemas import Instant

router = new_router("escalations", prefix="/changes/v1")
Reader = Annotated[Principal, allow(policy.READ_ESCALATIONS)]

COLUMNS = (
    "number",
    "subject_kind",
    "subject_number",
    "title",
    "severity",
    "state",
    "from_body",
    "body",
    "cause",
    "reason_code",
    "created_at",
    "clock_ends_at",
    "outcome",
    "closed_at",
)


async def _wanted(
    charter_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    state: Annotated[EscalationState | SkipJsonSchema[None], Query()] = None,
    subject_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    since: Annotated[
        Instant | SkipJsonSchema[None], Query(description="changed at or after this instant")
    ] = None,
) -> Select[Escalation]:
    return queries.escalations(charter_id, state, subject_id, since)


Wanted = Annotated[Select[Escalation], Depends(_wanted)]


@router.get("/escalations", response_model=schemas.EscalationPage)
async def list_escalations(
    session: Session, page: PageQuery, wanted: Wanted, caller: Reader
) -> Rows[Escalation]:
    return await paginate(session, wanted, Escalation, page)


@router.get("/escalations.csv", response_class=Response)
async def export_escalations(session: Session, wanted: Wanted, caller: Reader) -> Response:
    """The escalation register as a spreadsheet, oldest first."""
    rows = await all_rows(session, wanted, Escalation)
    return csv_response(
        "escalations.csv", COLUMNS, ({column: getattr(row, column) for column in COLUMNS} for row in rows)
    )


@router.get("/escalations/{escalation_id}", response_model=schemas.EscalationDetail)
async def get_escalation(
    escalation_id: UUID, response: Response, session: Session, caller: Reader
) -> Escalation:
    return tagged(response, await escalating.get(session, caller, escalation_id))
