"""Alerts of the caller's organization: read, acknowledged, resolved."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.notifier.alerts import models, policy, queries, service
from services.notifier.alerts.domain import AlertState, Priority
from services.notifier.alerts.schemas import Alert, AlertNote, AlertPage, AlertSummary
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("alerts", prefix="/notifier/v1")

MayRead = Annotated[Principal, allow(policy.READ_ALERT)]
ByState = Annotated[AlertState | SkipJsonSchema[None], Query()]
ByPriority = Annotated[Priority | SkipJsonSchema[None], Query()]
ByRule = Annotated[str | SkipJsonSchema[None], Query(max_length=100)]
ByCharter = Annotated[UUID | SkipJsonSchema[None], Query()]
Mine = Annotated[bool, Query(description="only those addressed to one of the caller's roles")]
COLUMNS = tuple(AlertSummary.model_fields)


@router.get("/alerts", response_model=AlertPage)
async def list_alerts(
    session: Session,
    page: PageQuery,
    caller: MayRead,
    state: ByState = None,
    priority: ByPriority = None,
    rule: ByRule = None,
    charter_id: ByCharter = None,
    mine: Mine = False,
) -> Rows[models.Alert]:
    roles = caller.roles if mine else None
    wanted = queries.alerts(state=state, priority=priority, rule=rule, charter_id=charter_id, roles=roles)
    return await paginate(session, wanted, models.Alert, page)


@router.get("/alerts.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def export_alerts(
    session: Session,
    caller: MayRead,
    state: ByState = None,
    priority: ByPriority = None,
    rule: ByRule = None,
    charter_id: ByCharter = None,
    mine: Mine = False,
) -> Response:
    """The same list for spreadsheets."""
    roles = caller.roles if mine else None
    wanted = queries.alerts(state=state, priority=priority, rule=rule, charter_id=charter_id, roles=roles)
    rows = await all_rows(session, wanted, models.Alert)
    return csv_response("alerts.csv", COLUMNS, (_cells(row) for row in rows))


def _cells(row: models.Alert) -> dict[str, object]:
    return AlertSummary.model_validate(row).model_dump() | {"roles": " ".join(row.roles)}


@router.get("/alerts/{alert_id}", response_model=Alert)
async def get_alert(alert_id: UUID, response: Response, session: Session, caller: MayRead) -> models.Alert:
    return tagged(response, await queries.alert_with_history(session, alert_id))


@router.post("/alerts/{alert_id}/acknowledge", response_model=AlertSummary)
async def acknowledge_alert(
    alert_id: UUID,
    form: AlertNote,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.ACKNOWLEDGE_ALERT)],
) -> models.Alert:
    """Take the alert up."""
    return tagged(response, await service.acknowledge(session, caller, alert_id, form.note, expected, now))


@router.post("/alerts/{alert_id}/resolve", response_model=AlertSummary)
async def resolve_alert(
    alert_id: UUID,
    form: AlertNote,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.RESOLVE_ALERT)],
) -> models.Alert:
    """Declare the matter settled."""
    return tagged(response, await service.resolve(session, caller, alert_id, form.note, expected, now))
