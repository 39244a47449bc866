"""The decision register: what was decided, by whom, over which text and by which right."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.changes import policy, queries, schemas
from services.changes.models import Decision
from services.changes.service import deciding
from shared.app import new_router
from shared.auth import allow
from shared.authz import Principal
from shared.db import Session
from shared.http import tagged
from shared.paging import PageQuery, Rows, paginate
from shared.schemas import Instant

router = new_router("decisions", prefix="/changes/v1")
Reader = Annotated[Principal, allow(policy.READ_DECISIONS)]


@router.get("/decisions", response_model=schemas.DecisionPage)
async def list_decisions(
    session: Session,
    page: PageQuery,
    caller: Reader,
    charter_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    subject_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    outcome: Annotated[Literal["approved", "rejected", "deferred"] | SkipJsonSchema[None], Query()] = None,
    since: Annotated[Instant | SkipJsonSchema[None], Query()] = None,
) -> Rows[Decision]:
    return await paginate(session, queries.decisions(charter_id, subject_id, outcome, since), Decision, page)


@router.get("/decisions/{decision_id}", response_model=schemas.Decision)
async def get_decision(decision_id: UUID, response: Response, session: Session, caller: Reader) -> Decision:
    return tagged(response, await deciding.get_decision(session, caller, decision_id))
