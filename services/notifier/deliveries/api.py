"""The delivery log of the caller's organization, and sending again."""

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic.json_schema import SkipJsonSchema

from services.notifier.deliveries import models, policy, queries
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.schemas import Delivery, DeliveryPage, DeliverySummary
from services.notifier.deliveries.service import owner as service
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.pages import PageQuery, Rows, all_rows, csv_response, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("deliveries", prefix="/notifier/v1")

MayRead = Annotated[Principal, allow(policy.READ_DELIVERY)]
ByEndpoint = Annotated[UUID | SkipJsonSchema[None], Query()]
ByAlert = Annotated[UUID | SkipJsonSchema[None], Query()]
ByState = Annotated[DeliveryState | SkipJsonSchema[None], Query()]
ByType = Annotated[str | SkipJsonSchema[None], Query(max_length=200)]
COLUMNS = tuple(DeliverySummary.model_fields)


@router.get("/deliveries", response_model=DeliveryPage)
async def list_deliveries(
    session: Session,
    page: PageQuery,
    caller: MayRead,
    endpoint_id: ByEndpoint = None,
    alert_id: ByAlert = None,
    state: ByState = None,
    event_type: ByType = None,
) -> Rows[models.Delivery]:
    wanted = queries.deliveries(
        endpoint_id=endpoint_id, alert_id=alert_id, state=state, event_type=event_type
    )
    return await paginate(session, wanted, models.Delivery, page)


@router.get("/deliveries.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
async def export_deliveries(
    session: Session,
    caller: MayRead,
    endpoint_id: ByEndpoint = None,
    alert_id: ByAlert = None,
    state: ByState = None,
    event_type: ByType = None,
) -> Response:
    """The same list for spreadsheets."""
    wanted = queries.deliveries(
        endpoint_id=endpoint_id, alert_id=alert_id, state=state, event_type=event_type
    )
    rows = await all_rows(session, wanted, models.Delivery)
    cells = (DeliverySummary.model_validate(row).model_dump() for row in rows)
    return csv_response("deliveries.csv", COLUMNS, cells)


@router.get("/deliveries/{delivery_id}", response_model=Delivery)
async def get_delivery(
    delivery_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Delivery:
    """A delivery with its body and every attempt."""
    return tagged(response, await queries.delivery_with_attempts(session, delivery_id))


@router.post("/deliveries/{delivery_id}/replay", status_code=202, response_model=DeliverySummary)
async def replay_delivery(
    delivery_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.REPLAY_DELIVERY)],
) -> models.Delivery:
    """Send it again under the same webhook-id."""
    return tagged(response, await service.replay(session, caller, delivery_id, expected, now))
