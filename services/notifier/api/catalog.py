"""What can be read about the notifier itself: its alert rules and its ticket templates."""

from typing import Annotated

from services.notifier import policy, queries, schemas
from services.notifier.api.tools import DeliveryTools
from services.notifier.domain.alerts import Change
from services.notifier.domain.rules import RULES, Opening, Rule
from services.notifier.domain.templates import CONTENT_TYPES, TOLD, Template, Ticket, body
from services.notifier.service.alerts import Touched
from services.notifier.service.endpoints import require_options, sample_ticket
from services.notifier.service.fanout import ticket_of
from shared.data.session import Session
from shared.runtime.clock import Now
from shared.web.app import new_router
from shared.web.auth import allow
from shared.web.authz import Principal

rules = new_router("rules", prefix="/notifier/v1")
templates = new_router("templates", prefix="/notifier/v1")

MayReadTemplates = Annotated[Principal, allow(policy.READ_TEMPLATES)]


@rules.get("/rules")
async def list_rules(caller: Annotated[Principal, allow(policy.READ_RULES)]) -> schemas.RulePage:
    """Which event opens or resolves which alert, for whom, and how pressing it is."""
    items = [_rule(event_type, rule) for event_type, rule in RULES.items()]
    return schemas.RulePage(items=items, next_cursor=None)


def _rule(event_type: str, rule: Rule) -> schemas.Rule:
    opens = _opening(rule.opens) if rule.opens else None
    return schemas.Rule(event_type=event_type, name=rule.name, opens=opens, resolves=list(rule.resolves))


def _opening(opening: Opening) -> schemas.Opening:
    return schemas.Opening(
        dedup_key=opening.dedup_key,
        title=opening.title,
        audience=sorted(opening.audience),
        roles=list(opening.roles),
        priority=opening.priority,
        priority_by=opening.ranking.by if opening.ranking else None,
        priorities=dict(opening.ranking.levels) if opening.ranking else {},
        reopens=opening.reopens,
    )


@templates.get("/templates")
async def list_templates(caller: MayReadTemplates) -> schemas.TemplatePage:
    """The bodies a ticketing system can be sent."""
    items = [
        schemas.TemplateInfo(name=template, content_type=CONTENT_TYPES[template], told=TOLD[template])
        for template in Template
    ]
    return schemas.TemplatePage(items=items, next_cursor=None)


@templates.post("/templates/{template}/render")
async def render_template(
    template: Template,
    form: schemas.RenderRequest,
    session: Session,
    now: Now,
    tools: DeliveryTools,
    caller: MayReadTemplates,
) -> schemas.Rendered:
    """Show what would be sent, for a sample or for one of the caller's alerts. Nothing is sent."""
    options = form.template_options.as_domain()
    require_options(template, options)
    ticket: Ticket = sample_ticket(now, tools.settings.public_url)
    if form.alert_id is not None:
        alert = await queries.alert_with_history(session, form.alert_id)
        touched = Touched(alert=alert, change=Change.opened)
        ticket = ticket_of(touched, dict(ticket.event), tools.settings.public_url)
    return schemas.Rendered(content_type=CONTENT_TYPES[template], body=dict(body(template, ticket, options)))
