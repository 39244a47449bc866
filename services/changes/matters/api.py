"""The registers of decisions and escalations: what was decided and by which right, and what is on its way up."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Response

from services.changes.matters import policy, queries, schemas
from services.changes.matters.domain.escalation import EscalationState
from services.changes.matters.models import Decision, Escalation
from services.changes.matters.service import deciding, escalating
from shared.data.listing import Listing
from shared.data.session import Session
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, Table
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import tagged
from shared.web.route import new_router

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
    "id",
    "charter_id",
    "subject_id",
)


DECISIONS = Table(DECISION_COLUMNS, lambda row: {column: getattr(row, column) for column in DECISION_COLUMNS})


async def _wanted_decisions(
    charter_id: Several[UUID] = None,
    subject_id: Several[UUID] = None,
    outcome: Several[Literal["approved", "rejected", "deferred"]] = None,
) -> Listing[Decision]:
    return queries.decisions(charter_id=charter_id, subject_id=subject_id, outcome=outcome)


WantedDecisions = Annotated[Listing[Decision], Depends(_wanted_decisions)]


@decisions.get("/decisions", response_model=schemas.DecisionPage)
async def list_decisions(
    session: Session, page: PageQuery, wanted: WantedDecisions, caller: DecisionReader
) -> Rows[Decision]:
    return await paginate(session, wanted, page)


@decisions.get("/decisions.csv", response_class=CsvStream)
async def export_decisions(
    session: Session, export: Exporting, wanted: WantedDecisions, caller: DecisionReader
) -> CsvStream:
    """The decision register as a spreadsheet, oldest first."""
    return await export.of(session, "decisions", wanted, DECISIONS)


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
    "id",
    "charter_id",
    "subject_id",
)


ESCALATIONS = Table(
    ESCALATION_COLUMNS, lambda row: {column: getattr(row, column) for column in ESCALATION_COLUMNS}
)


async def _wanted_escalations(
    charter_id: Several[UUID] = None,
    state: Several[EscalationState] = None,
    subject_id: Several[UUID] = None,
) -> Listing[Escalation]:
    return queries.escalations(charter_id=charter_id, state=state, subject_id=subject_id)


WantedEscalations = Annotated[Listing[Escalation], Depends(_wanted_escalations)]


@escalations.get("/escalations", response_model=schemas.EscalationPage)
async def list_escalations(
    session: Session, page: PageQuery, wanted: WantedEscalations, caller: EscalationReader
) -> Rows[Escalation]:
    return await paginate(session, wanted, page)


@escalations.get("/escalations.csv", response_class=CsvStream)
async def export_escalations(
    session: Session, export: Exporting, wanted: WantedEscalations, caller: EscalationReader
) -> CsvStream:
    """The escalation register as a spreadsheet, oldest first."""
    return await export.of(session, "escalations", wanted, ESCALATIONS)


@escalations.get("/escalations/{escalation_id}", response_model=schemas.EscalationDetail)
async def get_escalation(
    escalation_id: UUID, response: Response, session: Session, caller: EscalationReader
) -> Escalation:
    return tagged(response, await escalating.get(session, caller, escalation_id))
