"""The delivery log of the caller's organization, and sending again."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from services.notifier.deliveries import models, policy, queries
from services.notifier.deliveries.domain import DeliveryState
from services.notifier.deliveries.schemas import Delivery, DeliveryPage, DeliverySummary
from services.notifier.deliveries.service import owner as service
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

router = new_router("deliveries", prefix="/notifier/v1")

MayRead = Annotated[Principal, allow(policy.READ_DELIVERY)]
DELIVERIES = table_of(DeliverySummary)


async def _wanted(
    endpoint_id: Several[UUID] = None,
    alert_id: Several[UUID] = None,
    state: Several[DeliveryState] = None,
    event_type: Several[Text] = None,
) -> Listing[models.Delivery]:
    return queries.deliveries(endpoint_id=endpoint_id, alert_id=alert_id, state=state, event_type=event_type)


Wanted = Annotated[Listing[models.Delivery], Depends(_wanted)]


@router.get("/deliveries", response_model=DeliveryPage)
async def list_deliveries(
    session: Session, page: PageQuery, wanted: Wanted, caller: MayRead
) -> Rows[models.Delivery]:
    return await paginate(session, wanted, page)


@router.get("/deliveries.csv", response_class=CsvStream)
async def export_deliveries(
    session: Session, export: Exporting, wanted: Wanted, caller: MayRead
) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "deliveries", wanted, DELIVERIES)


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
