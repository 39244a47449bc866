"""The decision register: what was decided, by whom, over which text and by which right."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Select

from services.changes import policy, queries
from services.changes.models import Decision
from services.changes.schemas import decisions as schemas
from services.changes.service import deciding
from shared.data.session import Session
from shared.web.app import new_router
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import tagged
from shared.web.schemas import Instant

router = new_router("decisions", prefix="/changes/v1")
Reader = Annotated[Principal, allow(policy.READ_DECISIONS)]


COLUMNS = (
    "number",
    "subject_kind",
    "subject_number",
    "decision_class",
    "question",
    "outcome",
    "conditions",
    "rationale",
    "dissent",
    "body",
    "tier",
    "charter_version",
    "subject_hash",
    "created_at",
)


async def _wanted(
    charter_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    subject_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    outcome: Annotated[Literal["approved", "rejected", "deferred"] | SkipJsonSchema[None], Query()] = None,
    since: Annotated[
        Instant | SkipJsonSchema[None], Query(description="decided at or after this instant")
    ] = None,
) -> Select[Decision]:
    return queries.decisions(charter_id, subject_id, outcome, since)


Wanted = Annotated[Select[Decision], Depends(_wanted)]


@router.get("/decisions", response_model=schemas.DecisionPage)
async def list_decisions(session: Session, page: PageQuery, wanted: Wanted, caller: Reader) -> Rows[Decision]:
    return await paginate(session, wanted, Decision, page)


@router.get("/decisions.csv", response_class=Response)
async def export_decisions(session: Session, wanted: Wanted, caller: Reader) -> Response:
    """The decision register as a spreadsheet, oldest first."""
    rows = await all_rows(session, wanted, Decision)
    return csv_response(
        "decisions.csv", COLUMNS, ({column: getattr(row, column) for column in COLUMNS} for row in rows)
    )


@router.get("/decisions/{decision_id}", response_model=schemas.Decision)
async def get_decision(decision_id: UUID, response: Response, session: Session, caller: Reader) -> Decision:
    return tagged(response, await deciding.get_decision(session, caller, decision_id))
