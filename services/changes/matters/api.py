"""The registers of decisions and escalations: what was decided and by which right, and what is on its way up."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import Select

from services.changes.matters import policy, queries, schemas
from services.changes.matters.domain.escalation import EscalationState
from services.changes.matters.models import Decision, Escalation
from services.changes.matters.service import deciding, escalating
from shared.data.session import Session
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import tagged
from shared.web.route import new_router
from shared.web.schemas import Instant

decisions = new_router("decisions", prefix="/changes/v1")
DecisionReader = Annotated[Principal, allow(policy.READ_DECISIONS)]


DECISION_COLUMNS = (
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


async def _wanted_decisions(
    charter_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    subject_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    outcome: Annotated[Literal["approved", "rejected", "deferred"] | SkipJsonSchema[None], Query()] = None,
    since: Annotated[
        Instant | SkipJsonSchema[None], Query(description="decided at or after this instant")
    ] = None,
) -> Select[Decision]:
    return queries.decisions(charter_id, subject_id, outcome, since)


WantedDecisions = Annotated[Select[Decision], Depends(_wanted_decisions)]


@decisions.get("/decisions", response_model=schemas.DecisionPage)
async def list_decisions(
    session: Session, page: PageQuery, wanted: WantedDecisions, caller: DecisionReader
) -> Rows[Decision]:
    return await paginate(session, wanted, Decision, page)


@decisions.get("/decisions.csv", response_class=Response)
async def export_decisions(session: Session, wanted: WantedDecisions, caller: DecisionReader) -> Response:
    """The decision register as a spreadsheet, oldest first."""
    rows = await all_rows(session, wanted, Decision)
    return csv_response(
        "decisions.csv",
        DECISION_COLUMNS,
        ({column: getattr(row, column) for column in DECISION_COLUMNS} for row in rows),
    )


@decisions.get("/decisions/{decision_id}", response_model=schemas.Decision)
async def get_decision(
    decision_id: UUID, response: Response, session: Session, caller: DecisionReader
) -> Decision:
    return tagged(response, await deciding.get_decision(session, caller, decision_id))


escalations = new_router("escalations", prefix="/changes/v1")
EscalationReader = Annotated[Principal, allow(policy.READ_ESCALATIONS)]

ESCALATION_COLUMNS = (
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


async def _wanted_escalations(
    charter_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    state: Annotated[EscalationState | SkipJsonSchema[None], Query()] = None,
    subject_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    since: Annotated[
        Instant | SkipJsonSchema[None], Query(description="changed at or after this instant")
    ] = None,
) -> Select[Escalation]:
    return queries.escalations(charter_id, state, subject_id, since)


WantedEscalations = Annotated[Select[Escalation], Depends(_wanted_escalations)]


@escalations.get("/escalations", response_model=schemas.EscalationPage)
async def list_escalations(
    session: Session, page: PageQuery, wanted: WantedEscalations, caller: EscalationReader
) -> Rows[Escalation]:
    return await paginate(session, wanted, Escalation, page)


@escalations.get("/escalations.csv", response_class=Response)
async def export_escalations(
    session: Session, wanted: WantedEscalations, caller: EscalationReader
) -> Response:
    """The escalation register as a spreadsheet, oldest first."""
    rows = await all_rows(session, wanted, Escalation)
    return csv_response(
        "escalations.csv",
        ESCALATION_COLUMNS,
        ({column: getattr(row, column) for column in ESCALATION_COLUMNS} for row in rows),
    )


@escalations.get("/escalations/{escalation_id}", response_model=schemas.EscalationDetail)
async def get_escalation(
    escalation_id: UUID, response: Response, session: Session, caller: EscalationReader
) -> Escalation:
    return tagged(response, await escalating.get(session, caller, escalation_id))
