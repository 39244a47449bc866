"""Matters, and the registers of decisions and escalations: who has what, what was decided, what is on its way up."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Response

from services.changes.matters import policy, queries, schemas
from services.changes.matters.domain.escalation import EscalationState
from services.changes.matters.domain.states import MatterState
from services.changes.matters.models import Decision, Escalation, Matter
from services.changes.matters.service import deciding, escalating, reading
from shared.data.listing import Listing
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, Table
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router
from shared.web.schemas import Key
from shared.web.texts import TEXT, verbatim

matters = new_router("matters", prefix="/changes/v1")
MatterReader = Annotated[Principal, allow(policy.READ_MATTERS)]

MATTER_COLUMNS = (
    "id",
    "charter_id",
    "subject_kind",
    "subject_id",
    "subject_number",
    "title",
    "decision_class",
    "origin",
    "severity",
    "state",
    "body",
    "tier",
    "clock_ends_at",
    "decision_id",
    "decided_at",
    "charter_version",
    "subject_hash",
    "created_at",
)
MATTERS = Table(MATTER_COLUMNS, lambda row: {column: getattr(row, column) for column in MATTER_COLUMNS})


async def _wanted_matters(
    charter_id: Several[UUID] = None,
    subject_kind: Several[Key] = None,
    subject_id: Several[UUID] = None,
    state: Several[MatterState] = None,
    body: Several[Key] = None,
) -> Listing[Matter]:
    return queries.matters(
        charter_id=charter_id, subject_kind=subject_kind, subject_id=subject_id, state=state, body=body
    )


WantedMatters = Annotated[Listing[Matter], Depends(_wanted_matters)]


@matters.get("/matters", response_model=schemas.MatterPage)
async def list_matters(
    session: Session, page: PageQuery, wanted: WantedMatters, caller: MatterReader
) -> Rows[Matter]:
    """What the bodies decide, whatever its kind."""
    return await paginate(session, wanted, page)


@matters.get("/matters.csv", response_class=CsvStream)
async def export_matters(
    session: Session, export: Exporting, wanted: WantedMatters, caller: MatterReader
) -> CsvStream:
    """Matters as a spreadsheet, oldest first."""
    return await export.of(session, "matters", wanted, MATTERS)


@matters.get("/matters/{matter_id}", response_model=schemas.MatterDetail)
async def get_matter(matter_id: UUID, response: Response, session: Session, caller: MatterReader) -> Matter:
    """One matter: who has it and why, its clock, its positions, its history."""
    return tagged(response, await reading.get_matter(session, caller, matter_id))


@matters.post("/matters/{matter_id}/decide", response_model=schemas.MatterDetail)
async def decide_matter(
    matter_id: UUID,
    form: schemas.ChangeDecide,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.DECIDE_MATTER)],
) -> Matter:
    """Cast your party's vote. Equal votes decide; different votes take it to the next body."""
    return tagged(response, await deciding.decide_by_id(session, caller, matter_id, form, expected, now))


@matters.post("/matters/{matter_id}/escalate", response_model=schemas.MatterDetail)
async def escalate_matter(
    matter_id: UUID,
    form: schemas.ChangeEscalate,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.ESCALATE_MATTER)],
) -> Matter:
    """Take the matter to the next body; votes cast so far are kept but no longer count."""
    return tagged(response, await escalating.escalate_by_id(session, caller, matter_id, form, expected, now))


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
    return tagged(response, await reading.get_decision(session, caller, decision_id))


@decisions.get("/decisions/{decision_id}/text", response_class=Response, responses=TEXT)
async def get_decision_text(decision_id: UUID, session: Session, caller: DecisionReader) -> Response:
    """The exact bytes that were decided upon, and their hash; 404 where the service of the subject keeps them."""
    row, text, text_format = await reading.get_text(session, caller, decision_id)
    return verbatim(row, text, row.subject_hash, text_format)


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
    return tagged(response, await reading.get_escalation(session, caller, escalation_id))
