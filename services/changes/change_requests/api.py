"""The change-request log: submit, preview, assess, vote, escalate, withdraw, resume, list, export."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from services.changes.change_requests import policy, queries, schemas, service
from services.changes.change_requests.domain import ChangeState
from services.changes.change_requests.models import ChangeRequest
from services.changes.matters.schemas import ChangeDecide, ChangeEscalate
from shared.contracts.governance import SAVINGS, Severity
from shared.data.built import BuiltList, Filters
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, Table
from shared.web.filters import Several
from shared.web.pages import PageQuery, paginate_built
from shared.web.requests import IfMatch, tagged
from shared.web.route import DirectTransaction, new_router
from shared.web.schemas import Key

router = new_router("change_requests", prefix="/changes/v1")

LOG_COLUMNS = (
    "number",
    "title",
    "type",
    "category",
    "origin",
    "requester",
    "raised_at",
    "description",
    "justification",
    "consequence_of_not_doing",
    "priority_impact",
    "priority_urgency",
    "severity",
    "cost_one_time",
    "cost_annual",
    "savings_one_time",
    "savings_annual",
    "schedule_days",
    "sla_effect",
    "security_impact",
    "other_impact",
    "back_out_plan",
    "state",
    "computed_body",
    "requested_body",
    "reason_code",
    "body",
    "tier",
    "clock_ends_at",
    "decision_id",
    "decided_at",
    "charter_version",
    "id",
    "charter_id",
)
IMPACT_COLUMNS = frozenset(
    {"cost_one_time", "cost_annual", *SAVINGS, "schedule_days", "sla_effect", "security_impact"}
)

LISTED = BuiltList(queries.change_requests, queries.item(schemas.Change.model_fields))


async def _wanted(
    charter_id: Several[UUID] = None,
    state: Several[ChangeState] = None,
    body: Several[Key] = None,
    severity: Several[Severity] = None,
) -> Filters:
    return {"charter_id": charter_id, "state": state, "body": body, "severity": severity}


Wanted = Annotated[Filters, Depends(_wanted)]
Reader = Annotated[Principal, allow(policy.READ_CHANGES)]


@router.post("/change_requests", status_code=201, response_model=schemas.ChangeDetail)
async def create_change_request(
    form: schemas.ChangeCreate,
    response: Response,
    transaction: DirectTransaction,
    now: Now,
    caller: Annotated[Principal, allow(policy.SUBMIT_CHANGE)],
) -> ChangeRequest:
    """Submit a change request; it goes to the lowest competent body at once when its impact is complete."""
    return tagged(response, await service.submit(transaction, caller, form, now))


@router.post("/change_requests/preview_route", response_model=schemas.RoutePreview)
async def preview_change_route(
    form: schemas.RoutePreviewCreate,
    session: Session,
    caller: Annotated[Principal, allow(policy.PREVIEW_ROUTE)],
) -> dict[str, object]:
    """Who will decide this? Nothing is written."""
    return await service.preview_route(session, caller, form)


@router.get("/change_requests", response_model=schemas.ChangePage)
async def list_change_requests(
    transaction: DirectTransaction, page: PageQuery, wanted: Wanted, caller: Reader
) -> Response:
    return await paginate_built(transaction, LISTED, wanted, page)


@router.get("/change_requests.csv", response_class=CsvStream)
async def export_change_requests(
    session: Session, export: Exporting, wanted: Wanted, caller: Reader
) -> CsvStream:
    """The change-request log as a spreadsheet, oldest first."""
    return await export.of(session, "change_requests", queries.with_matters(**wanted), LOG)


@router.get("/change_requests/{change_id}", response_model=schemas.ChangeDetail)
async def get_change_request(
    change_id: UUID, response: Response, session: Session, caller: Reader
) -> ChangeRequest:
    """One request: who decides and why, its clock, its votes, its history."""
    return tagged(response, await service.get(session, caller, change_id))


@router.post("/change_requests/{change_id}/assess", response_model=schemas.ChangeDetail)
async def assess_change_request(
    change_id: UUID,
    form: schemas.ChangeAssess,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.ASSESS_CHANGE)],
) -> ChangeRequest:
    """Complete the impact analysis; the request goes to the body that decides."""
    return tagged(response, await service.assess(session, caller, change_id, form, expected, now))


@router.post("/change_requests/{change_id}/decide", response_model=schemas.ChangeDetail)
async def decide_change_request(
    change_id: UUID,
    form: ChangeDecide,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.DECIDE_CHANGE)],
) -> ChangeRequest:
    """Cast your party's vote. Equal votes decide; different votes take it to the next body."""
    return tagged(response, await service.decide(session, caller, change_id, form, expected, now))


@router.post("/change_requests/{change_id}/escalate", response_model=schemas.ChangeDetail)
async def escalate_change_request(
    change_id: UUID,
    form: ChangeEscalate,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.ESCALATE_CHANGE)],
) -> ChangeRequest:
    """Take the request to the next body; votes cast so far are kept but no longer count."""
    return tagged(response, await service.escalate(session, caller, change_id, form, expected, now))


@router.post("/change_requests/{change_id}/withdraw", response_model=schemas.ChangeDetail)
async def withdraw_change_request(
    change_id: UUID,
    form: schemas.ChangeWithdraw,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.WITHDRAW_CHANGE)],
) -> ChangeRequest:
    """Take your party's request back before it is decided."""
    return tagged(response, await service.withdraw(session, caller, change_id, form, expected, now))


@router.post("/change_requests/{change_id}/resume", response_model=schemas.ChangeDetail)
async def resume_change_request(
    change_id: UUID,
    form: schemas.ChangeResume,
    expected: IfMatch,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.RESUME_CHANGE)],
) -> ChangeRequest:
    """Bring a deferred request back to the body that deferred it."""
    return tagged(response, await service.resume(session, caller, change_id, form, expected, now))


def _log_row(row: ChangeRequest) -> dict[str, object]:
    special: dict[str, object] = {
        "requester": row.requester_name,
        "raised_at": row.created_at,
        "other_impact": "; ".join(f"{d}={v}" for d, v in row.impact.items() if d not in IMPACT_COLUMNS),
        "clock_ends_at": row.clock["ends_at"] if row.clock else None,
    } | {column: row.impact.get(column) for column in IMPACT_COLUMNS}
    return special | {column: getattr(row, column) for column in LOG_COLUMNS if column not in special}


LOG = Table(LOG_COLUMNS, _log_row)
