"""Applies the rule of every event that has one."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts.service import Cause, Touched, clear, raise_alerts
from services.notifier.deliveries.service.fanout import fan_out, message, pass_on
from services.notifier.rules.domain import RULES, Rule, audience_orgs, filled, rendered
from shared.contracts import registry
from shared.contracts.audit import AuditCheckpointed
from shared.contracts.base import Event, Received
from shared.messaging.projections import Projection

Facts = Mapping[str, object]


async def apply_rule(session: AsyncSession, received: Received[Event], now: datetime) -> None:
    """Resolve and open what the event's rule says, and deliver every change of an alert."""
    rule = RULES[received.event.TYPE]
    facts = received.event.model_dump(mode="json")
    cleared = await _cleared(session, rule, received, facts, now)
    raised = await _raised(session, rule, received, facts, now)
    about = message(received.envelope)
    await fan_out(session, [*raised, *cleared], about, now)
    await pass_on(session, _keepers(rule, received), about, now)


def _keepers(rule: Rule, received: Received[Event]) -> tuple[UUID, ...]:
    """Whose systems keep the event as evidence: the parties', or its own where it is one organization's affair."""
    event, scope = received.event, received.envelope.scope
    if isinstance(event, AuditCheckpointed) and scope.charter_id is None:
        return (event.chain,)
    return audience_orgs(rule.evidence_for, scope.visibility, scope.customer_org_id, scope.provider_org_id)


async def _cleared(
    session: AsyncSession, rule: Rule, received: Received[Event], facts: Facts, now: datetime
) -> list[Touched]:
    scope = received.envelope.scope
    orgs = [org for org in (scope.customer_org_id, scope.provider_org_id) if org is not None]
    return await clear(session, [rendered(key, facts) for key in rule.resolves], orgs, _cause(received), now)


async def _raised(
    session: AsyncSession, rule: Rule, received: Received[Event], facts: Facts, now: datetime
) -> list[Touched]:
    if rule.opens is None:
        return []
    opened = filled(rule.name, rule.opens, facts)
    scope = received.envelope.scope
    orgs = audience_orgs(opened.audience, scope.visibility, scope.customer_org_id, scope.provider_org_id)
    return await raise_alerts(session, orgs, opened, _cause(received), now)


def _cause(received: Received[Event]) -> Cause:
    envelope = received.envelope
    return Cause(
        event_type=envelope.type, subject_id=envelope.subject, event_id=envelope.id, scope=envelope.scope
    )


ALERTS = Projection("alerts", {event: apply_rule for event in registry() if event.TYPE in RULES})
