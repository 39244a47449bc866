"""Alerts of the caller's organization: read, acknowledged, commented, snoozed, resolved."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Response
from pydantic import Field

from services.notifier.alerts import models, policy, queries, service
from services.notifier.alerts.domain import AlertState, Priority
from services.notifier.alerts.schemas import (
    Alert,
    AlertComment,
    AlertNote,
    AlertPage,
    AlertSnooze,
    AlertSummary,
)
from shared.data.listing import Listing
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, table_of
from shared.web.filters import Several
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router
from shared.web.schemas import Text

router = new_router("alerts", prefix="/notifier/v1")

MayRead = Annotated[Principal, allow(policy.READ_ALERT)]
RuleName = Annotated[Text, Field(max_length=100)]
Mine = Annotated[bool, Query(description="only those addressed to one of the caller's roles")]
ALERTS = table_of(AlertSummary)


async def _wanted(
    caller: MayRead,
    state: Several[AlertState] = None,
    priority: Several[Priority] = None,
    rule: Several[RuleName] = None,
    charter_id: Several[UUID] = None,
    mine: Mine = False,
) -> Listing[models.Alert]:
    roles = caller.roles if mine else None
    return queries.alerts(state=state, priority=priority, rule=rule, charter_id=charter_id, roles=roles)


Wanted = Annotated[Listing[models.Alert], Depends(_wanted)]


@router.get("/alerts", response_model=AlertPage)
async def list_alerts(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[models.Alert]:
    return await paginate(session, wanted, page)


@router.get("/alerts.csv", response_class=CsvStream)
async def export_alerts(session: Session, export: Exporting, wanted: Wanted, caller: MayRead) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "alerts", wanted, ALERTS)


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


@router.post("/alerts/{alert_id}/comment", response_model=AlertSummary)
async def comment_alert(
    alert_id: UUID,
    form: AlertComment,
    response: Response,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.COMMENT_ALERT)],
) -> models.Alert:
    """Add words to its history. Several people may do so at once."""
    return tagged(response, await service.comment(session, caller, alert_id, form.note, now))


@router.post("/alerts/{alert_id}/snooze", response_model=AlertSummary)
async def snooze_alert(
    alert_id: UUID,
    form: AlertSnooze,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.SNOOZE_ALERT)],
) -> models.Alert:
    """Let it be quiet until a business time of its charter's calendar (without a charter: of the federal one).

    Only the party that has to act may do that. It opens again then, or earlier when its cause gets worse.
    """
    return tagged(
        response, await service.snooze(session, caller, alert_id, form.until, form.reason, expected, now)
    )


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
    """Declare the matter settled: only the party that has to act may, and only where no event will say it is over."""
    return tagged(response, await service.resolve(session, caller, alert_id, form.note, expected, now))
