"""One object of every collection, made as its owner would, and for every route a request that works.

`COLLECTIONS` and `REQUESTS` are the only tables of names here. A route that takes an id of a collection
that is missing fails a test, as does a body route whose request is refused.
"""

from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import text

from shared.data.ids import uuid7
from tests.hostile import changes_objects, charter_objects, notifier_objects, sla_objects
from tests.hostile.routes import Route, routes_of
from tests.hostile.samples import sample
from tests.hostile.support import Made, Parties, Ready, Stage, caller


async def dead_letter(stage: Stage, of: Parties) -> str:
    """What a service set aside; it belongs to nobody, so every party gets one of its own."""
    letter = uuid7()
    async with stage.s.kernel.database.system() as session:
        await session.execute(
            text(
                "INSERT INTO dead_letter (id, consumer, topic, part, off, headers, value, error_class, error,"
                " first_at, last_at, tries) VALUES (:id, :consumer, 'concordat.charter', 0, 1, '{}', 'x',"
                " 'permanent', :error, now(), now(), 1)"
            ),
            {"id": letter, "consumer": f"concordat-{stage.s.name}", "error": "not JSON"},
        )
    return str(letter)


FIRST = {"charter": "charters", "sla": "agreements", "changes": "change_requests", "notifier": "alerts"}
"""Something of each service that leaves an audit row under the charter."""


async def to_export(stage: Stage, of: Parties) -> Made:
    await one(stage, FIRST[stage.s.name], of)
    private = {"visibility": "customer"} if stage.s.name == "notifier" else {}
    return Made(query={"charter_id": await charter_of(stage, of)} | private)


async def to_discard(stage: Stage, of: Parties) -> Made:
    return Made({}, {"ids": [await dead_letter(stage, of)], "reason": "Not ours."})


async def to_replay(stage: Stage, of: Parties) -> Made:
    return Made({}, {"ids": [await dead_letter(stage, of)], "dry_run": True})


async def to_retry(stage: Stage, of: Parties) -> Made:
    return Made({}, {"kind": "report.publication"})


COLLECTIONS: Mapping[str, Callable[[Stage, Parties], Awaitable[str]]] = {
    "organizations": charter_objects.organization,
    "members": charter_objects.member,
    "charters": charter_objects.active_charter,
    "agreements": sla_objects.agreement,
    "slas": sla_objects.sla,
    "reports": sla_objects.published_report,
    "change_requests": changes_objects.change_request,
    "matters": changes_objects.matter,
    "decisions": changes_objects.decision,
    "escalations": changes_objects.escalation,
    "alerts": notifier_objects.alert,
    "endpoints": notifier_objects.endpoint,
    "deliveries": notifier_objects.delivery,
    "dead_letters": dead_letter,
}

REQUESTS: Mapping[str, Callable[[Stage, Parties], Awaitable[Made]]] = {
    "create_member": charter_objects.to_add_a_member,
    "create_charter": charter_objects.to_draft,
    "replace_charter_content": charter_objects.draft_with_text,
    "freeze_charter": charter_objects.to_freeze,
    "sign_charter": charter_objects.to_sign,
    "decline_charter": charter_objects.to_decline,
    "create_agreement": sla_objects.to_register_an_agreement,
    "create_sla": sla_objects.to_register_an_sla,
    "create_report": sla_objects.to_schedule,
    "draft_report": sla_objects.to_draft_a_report,
    "comment_report": sla_objects.to_comment,
    "publish_report": sla_objects.to_publish,
    "create_observations": sla_objects.to_observe,
    "create_change_request": changes_objects.to_submit,
    "preview_change_route": changes_objects.to_preview,
    "assess_change_request": changes_objects.to_assess,
    "resume_change_request": changes_objects.to_resume,
    "resolve_alert": notifier_objects.to_resolve,
    "comment_alert": notifier_objects.to_comment,
    "snooze_alert": notifier_objects.to_snooze,
    "create_endpoint": notifier_objects.to_register_an_endpoint,
    "enable_endpoint": notifier_objects.to_enable,
    "render_template": notifier_objects.to_render,
    "export_audit_chain": to_export,
    "replay_dead_letters_of_service": to_replay,
    "discard_dead_letters_of_service": to_discard,
    "retry_due_of_service": to_retry,
}


KNOWN_BY = {"organizations": "provider2", "members": "provider2"}
"""Whoever shares a charter with an organization sees it and its members, and may change nothing of them."""
QUERIES: Mapping[str, str] = {
    "sla_id": "slas",
    "agreement_id": "agreements",
    "endpoint_id": "endpoints",
    "alert_id": "alerts",
    "subject_id": "change_requests",
    "object_id": "charters",
}
"""Of which collection a query parameter takes an id, besides `charter_id`; `object_id` may be any."""


async def charter_of(stage: Stage, of: Parties) -> str:
    """The charter of those parties as the service under test knows it."""
    return await one(stage, "charters", of) if stage.s.name == "charter" else str(of.charter_id)


async def query_of(stage: Stage, route: Route, of: Parties) -> dict[str, str]:
    """The query parameters a route cannot do without."""
    query = {}
    for each in route.parameters("query"):
        if not each.get("required"):
            continue
        name = each["name"]
        query[name] = sla_objects.PERIOD if name == "period" else await id_for(stage, name, of)
    return query


async def id_for(stage: Stage, name: str, of: Parties) -> str:
    """An id of those parties for a query parameter."""
    if name == "charter_id" or QUERIES.get(name) == "charters":
        return await charter_of(stage, of)
    return await one(stage, QUERIES[name], of)


async def one(stage: Stage, collection: str, of: Parties) -> str:
    """The id of an object of the collection; the same one every time, for requests that change nothing."""
    key = (of.word, collection)
    if key not in stage.made:
        stage.made[key] = await COLLECTIONS[collection](stage, of)
    return stage.made[key]


async def ready(stage: Stage, route: Route, of: Parties | None = None) -> Ready:
    """A request to the route that works, on an object of its own when it changes something."""
    of = of or stage.victim
    who = caller(route.action, of)
    if route.name in REQUESTS:
        made = await REQUESTS[route.name](stage, of)
        return Ready(route, who, made.ids, made.body, made.query)
    make = one if not route.writes else _fresh
    ids = {name: await make(stage, collection, of) for name, collection in route.ids().items()}
    body = sample(route.service, route.body_schema()) if route.takes == "json" else None
    return Ready(route, who, ids, body, await query_of(stage, route, of))


async def _fresh(stage: Stage, collection: str, of: Parties) -> str:
    return await COLLECTIONS[collection](stage, of)


def collections_of(service: str) -> list[str]:
    owned = {owner for route in routes_of(service) for owner in route.ids().values()}
    return [name for name in COLLECTIONS if name in owned]
