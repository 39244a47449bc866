"""Endpoints of the caller's organization: where its alerts are delivered."""

from typing import Annotated
from uuid import UUID

from fastapi import Response

from services.notifier.deliveries import models as delivery_models
from services.notifier.deliveries import policy as delivery_policy
from services.notifier.deliveries import schemas as delivery_schemas
from services.notifier.deliveries.service import owner
from services.notifier.endpoints import models, policy, queries, schemas
from services.notifier.endpoints.service import administration as service
from services.notifier.tools import DeliveryTools
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.exports import CsvStream, Exporting, table_of
from shared.web.pages import PageQuery, Rows, paginate
from shared.web.requests import IfMatch, tagged
from shared.web.route import new_router

router = new_router("endpoints", prefix="/notifier/v1")

MayRead = Annotated[Principal, allow(policy.READ_ENDPOINT)]
MayChange = Annotated[Principal, allow(policy.CHANGE_ENDPOINT)]
ENDPOINTS = table_of(schemas.Endpoint)


def _shown_once(response: Response, row: models.Endpoint, secret: str) -> schemas.EndpointWithSecret:
    """The one answer that holds a signing secret; it must not be stored anywhere on the way."""
    response.headers["Cache-Control"] = "no-store"
    shown = schemas.Endpoint.model_validate(tagged(response, row)).model_dump()
    return schemas.EndpointWithSecret(**shown, signing_secret=secret)


@router.post("/endpoints", status_code=201)
async def create_endpoint(
    form: schemas.EndpointCreate,
    response: Response,
    session: Session,
    now: Now,
    tools: DeliveryTools,
    caller: Annotated[Principal, allow(policy.CREATE_ENDPOINT)],
) -> schemas.EndpointWithSecret:
    """Register an address. The answer holds its signing secret, which is shown this once."""
    values = dict(form) | {"template_options": form.template_options.as_domain()}
    authorization = values.pop("authorization")
    header = authorization.get_secret_value() if authorization else None
    policy_ = tools.settings.egress_policy()
    row, secret = await service.create(session, caller, tools.vault, policy_, values, header, now)
    return _shown_once(response, row, secret)


@router.get("/endpoints", response_model=schemas.EndpointPage)
async def list_endpoints(session: Session, page: PageQuery, caller: MayRead) -> Rows[models.Endpoint]:
    return await paginate(session, queries.endpoints(), page)


@router.get("/endpoints.csv", response_class=CsvStream)
async def export_endpoints(session: Session, export: Exporting, caller: MayRead) -> CsvStream:
    """The same list for spreadsheets."""
    return await export.of(session, "endpoints", queries.endpoints(), ENDPOINTS)


@router.get("/endpoints/{endpoint_id}", response_model=schemas.Endpoint)
async def get_endpoint(
    endpoint_id: UUID, response: Response, session: Session, caller: MayRead
) -> models.Endpoint:
    return tagged(response, await queries.find(session, endpoint_id))


@router.patch("/endpoints/{endpoint_id}", response_model=schemas.Endpoint)
async def update_endpoint(
    endpoint_id: UUID,
    form: schemas.EndpointChange,
    response: Response,
    session: Session,
    now: Now,
    tools: DeliveryTools,
    expected: IfMatch,
    caller: MayChange,
) -> models.Endpoint:
    """Change what the body names. A new address starts with a clean record."""
    changes = form.changes
    if form.template_options is not None:
        changes["template_options"] = form.template_options.as_domain()
    policy_ = tools.settings.egress_policy()
    return tagged(
        response, await service.change(session, caller, policy_, endpoint_id, changes, expected, now)
    )


@router.delete("/endpoints/{endpoint_id}", status_code=204)
async def delete_endpoint(
    endpoint_id: UUID,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.DELETE_ENDPOINT)],
) -> None:
    """Destroy its secrets and cancel what waits. The delivery log stays."""
    await service.remove(session, caller, endpoint_id, expected, now)


@router.post("/endpoints/{endpoint_id}/rotate_secret")
async def rotate_endpoint_secret(
    endpoint_id: UUID,
    form: schemas.SecretRotation,
    response: Response,
    session: Session,
    now: Now,
    tools: DeliveryTools,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.ROTATE_SECRET)],
) -> schemas.EndpointWithSecret:
    """A new signing secret, shown this once; the old ones keep signing during the overlap."""
    row, secret = await service.rotate_secret(
        session, caller, tools.vault, endpoint_id, form.overlap, expected, now
    )
    return _shown_once(response, row, secret)


@router.put("/endpoints/{endpoint_id}/authorization", response_model=schemas.Endpoint)
async def set_endpoint_authorization(
    endpoint_id: UUID,
    form: schemas.AuthorizationChange,
    response: Response,
    session: Session,
    now: Now,
    tools: DeliveryTools,
    expected: IfMatch,
    caller: MayChange,
) -> models.Endpoint:
    """Set the `Authorization` header its receiver asks for. It is sealed and never shown."""
    value = form.authorization.get_secret_value()
    row = await service.replace_authorization(session, caller, tools.vault, endpoint_id, value, expected, now)
    return tagged(response, row)


@router.delete("/endpoints/{endpoint_id}/authorization", response_model=schemas.Endpoint)
async def remove_endpoint_authorization(
    endpoint_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    tools: DeliveryTools,
    expected: IfMatch,
    caller: MayChange,
) -> models.Endpoint:
    """Send no `Authorization` header any more."""
    row = await service.replace_authorization(session, caller, tools.vault, endpoint_id, None, expected, now)
    return tagged(response, row)


@router.post("/endpoints/{endpoint_id}/enable", response_model=schemas.Endpoint)
async def enable_endpoint(
    endpoint_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.ENABLE_ENDPOINT)],
) -> models.Endpoint:
    """Switch it on again, after a test delivery that succeeded."""
    return tagged(response, await service.enable(session, caller, endpoint_id, expected, now))


@router.post("/endpoints/{endpoint_id}/disable", response_model=schemas.Endpoint)
async def disable_endpoint(
    endpoint_id: UUID,
    response: Response,
    session: Session,
    now: Now,
    expected: IfMatch,
    caller: Annotated[Principal, allow(policy.DISABLE_ENDPOINT)],
) -> models.Endpoint:
    """Switch it off. What waits stays waiting; new alerts are not queued for it."""
    return tagged(response, await service.disable(session, caller, endpoint_id, expected, now))


@router.post(
    "/endpoints/{endpoint_id}/test", status_code=202, response_model=delivery_schemas.DeliverySummary
)
async def test_endpoint(
    endpoint_id: UUID,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(policy.TEST_ENDPOINT)],
) -> delivery_models.Delivery:
    """Queue a sample message, sent once within moments; read the delivery to see what came of it."""
    return await owner.send_test(session, caller, endpoint_id, now)


@router.post("/endpoints/{endpoint_id}/replay", status_code=202)
async def replay_endpoint(
    endpoint_id: UUID,
    form: delivery_schemas.ReplayRange,
    session: Session,
    now: Now,
    caller: Annotated[Principal, allow(delivery_policy.REPLAY_DELIVERY)],
) -> delivery_schemas.Replayed:
    """Queue again what was created in a range of time and never arrived."""
    count = await owner.replay_range(
        session, caller, endpoint_id, form.since, form.until, delivered_too=form.delivered_too, now=now
    )
    return delivery_schemas.Replayed(deliveries=count)
