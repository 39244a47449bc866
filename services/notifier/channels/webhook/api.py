"""The bodies a ticketing system can be sent, listed and tried."""

from typing import Annotated

from services.notifier.alerts.domain import Change
from services.notifier.alerts.models import Alert
from services.notifier.alerts.service import Touched
from services.notifier.channels.webhook import policy, schemas
from services.notifier.channels.webhook.domain.templates import (
    CONTENT_TYPES,
    UPDATES,
    Template,
    body,
    check_options,
)
from services.notifier.channels.webhook.service.bodies import sample_event, sample_ticket, ticket_of
from shared.data.ids import uuid7
from shared.data.session import Session, load
from shared.runtime.clock import Now
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.route import new_router

router = new_router("templates", prefix="/notifier/v1")

MayRead = Annotated[Principal, allow(policy.READ_TEMPLATES)]


@router.get("/templates")
async def list_templates(caller: MayRead) -> schemas.TemplatePage:
    """The bodies a ticketing system can be sent."""
    items = [
        schemas.TemplateInfo(name=template, content_type=CONTENT_TYPES[template], told=UPDATES[template])
        for template in Template
    ]
    return schemas.TemplatePage(items=items, next_cursor=None)


@router.post("/templates/{template}/render")
async def render_template(
    template: Template,
    form: schemas.RenderRequest,
    session: Session,
    now: Now,
    caller: MayRead,
) -> schemas.Rendered:
    """Show what would be sent, for a sample or for one of the caller's alerts. Nothing is sent."""
    options = form.template_options.as_domain()
    check_options(template, options)
    event = sample_event(uuid7(), "sample", now, title="Sample")
    ticket = sample_ticket(event, now)
    if form.alert_id is not None:
        alert = await load(session, Alert, form.alert_id)
        touched = Touched(alert=alert, change=Change.opened)
        ticket = ticket_of(touched, event)
    return schemas.Rendered(content_type=CONTENT_TYPES[template], body=dict(body(template, ticket, options)))
