"""The alert rules, to be read."""

from typing import Annotated

from services.notifier.rules import policy, schemas
from services.notifier.rules.domain import RULES, Opening, Rule, ends_with_cause
from shared.web.auth import allow
from shared.web.authz import Principal
from shared.web.route import new_router

router = new_router("rules", prefix="/notifier/v1")


@router.get("/rules")
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
        acting=sorted(opening.audience & opening.acting),
        ends_with_cause=ends_with_cause(opening),
        roles=list(opening.roles),
        priority=opening.priority,
        priority_by=opening.ranking.by if opening.ranking else None,
        priorities=dict(opening.ranking.levels) if opening.ranking else {},
        reopens=opening.reopens,
    )
