"""One object of every collection, made as its owner would, and for every route a request that works.

`COLLECTIONS` and `REQUESTS` are the only tables of names here. A route that takes an id of a collection
that is missing fails a test, as does a body route whose request is refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import text

from shared.contracts.changes import EscalationRaised
from shared.domain.governance import Severity
from shared.ids import uuid7
from tests.hostile.routes import Route
from tests.hostile.samples import sample
from tests.hostile.support import Parties, Ready, Stage, caller
from tests.support.changes import CHANGES, JOWG_IMPACT, change
from tests.support.sla import agreement_form, metric_form, probe, sla_form


class Made(NamedTuple):
    """What a request needs besides its caller; `body` None: it has none."""

    ids: Mapping[str, str] = MappingProxyType({})
    body: Any = None
    query: Mapping[str, str] = MappingProxyType({})


CHARTERS, SLA, NOTIFIER = "/charter/v1/charters", "/sla/v1", "/notifier/v1"
PERIOD = "2026-10"
METRIC = metric_form(zero_volume="not_applicable")
ATTEST = {"attestation": "I attest that this report is complete and accurate."}


# charter


async def organization(stage: Stage, of: Parties) -> str:
    return str(stage.org(of.customer))


def member_form(of: Parties) -> dict[str, Any]:
    return {
        "issuer": "https://login.example.gov",
        "subject": uuid4().hex,
        "display_name": f"Newcomer of {of.customer}",
        "roles": ["om_team"],
    }


async def member(stage: Stage, of: Parties) -> str:
    path = f"/charter/v1/organizations/{stage.org(of.customer)}/members"
    return str((await stage.call(f"{of.customer}.org_admin", "POST", path, member_form(of)))["id"])


def charter_form(stage: Stage, of: Parties) -> dict[str, Any]:
    return {
        "customer_org_id": str(stage.org(of.customer)),
        "provider_org_id": str(stage.org(of.provider)),
        "observer_org_ids": [str(stage.org(of.observer))],
        "from_model": {
            "title": f"{of.word} charter",
            "services": ["payroll"],
            "effective_date": "2026-10-01",
            "annual_order_value": "4800000.00",
        },
    }


async def draft(stage: Stage, of: Parties) -> dict[str, Any]:
    return await stage.call(f"{of.customer}.om_team", "POST", CHARTERS, charter_form(stage, of))


async def frozen(stage: Stage, of: Parties) -> dict[str, Any]:
    found = await draft(stage, of)
    path = f"{CHARTERS}/{found['id']}/freeze"
    return await stage.call(f"{of.provider}.om_team", "POST", path, version=found["version"])


async def active_charter(stage: Stage, of: Parties) -> str:
    found = await frozen(stage, of)
    for side in (of.customer, of.provider):
        for role in ("business_owner", "executive_sponsor"):
            body = {"content_hash": found["content_hash"], "role": role}
            path = f"{CHARTERS}/{found['id']}/sign"
            found = await stage.call(f"{side}.{role}", "POST", path, body, found["version"])
    return str(found["id"])


async def draft_with_text(stage: Stage, of: Parties) -> Made:
    found = await draft(stage, of)
    content = await stage.call(f"{of.customer}.om_team", "GET", f"{CHARTERS}/{found['id']}/content")
    first = {name: rows[:1] for name, rows in content.items() if isinstance(rows, list) and rows}
    return Made({"charter_id": found["id"]}, content | first)


async def to_sign(stage: Stage, of: Parties) -> Made:
    found = await frozen(stage, of)
    body = {"content_hash": found["content_hash"], "role": "business_owner"}
    return Made({"charter_id": found["id"]}, body)


async def to_decline(stage: Stage, of: Parties) -> Made:
    return Made({"charter_id": (await frozen(stage, of))["id"]}, {"reason": "Not yet."})


async def to_freeze(stage: Stage, of: Parties) -> Made:
    return Made({"charter_id": (await draft(stage, of))["id"]}, None)


async def to_draft(stage: Stage, of: Parties) -> Made:
    return Made({}, charter_form(stage, of))


async def to_add_a_member(stage: Stage, of: Parties) -> Made:
    return Made({"organization_id": str(stage.org(of.customer))}, member_form(of))


# sla


def _agreement(stage: Stage, of: Parties) -> dict[str, Any]:
    return agreement_form(stage.s, charter_id=str(of.charter_id), title=f"{of.word} agreement")


async def agreement(stage: Stage, of: Parties) -> str:
    made = await stage.call(f"{of.customer}.om_team", "POST", f"{SLA}/agreements", _agreement(stage, of))
    return str(made["id"])


def _sla(of: Parties, agreement_id: str) -> dict[str, Any]:
    return sla_form(agreement_id, title=f"{of.word} levels", metrics=[METRIC])


async def sla(stage: Stage, of: Parties) -> str:
    form = _sla(of, await agreement(stage, of))
    return str((await stage.call(f"{of.provider}.om_team", "POST", f"{SLA}/slas", form))["id"])


async def scheduled_report(stage: Stage, of: Parties) -> dict[str, Any]:
    path = f"{SLA}/slas/{await sla(stage, of)}/reports"
    return await stage.call(f"{of.provider}.om_team", "POST", path, {"period": PERIOD})


async def drafted_report(stage: Stage, of: Parties) -> dict[str, Any]:
    found = await scheduled_report(stage, of)
    path = f"{SLA}/reports/{found['id']}/draft"
    return await stage.call(f"{of.provider}.om_team", "POST", path, version=found["version"])


async def published_report(stage: Stage, of: Parties) -> str:
    found = await drafted_report(stage, of)
    path, who = f"{SLA}/reports/{found['id']}", f"{of.provider}.om_team"
    words = {"summary": f"{of.word} was a good month."}
    found = await stage.call(who, "PATCH", f"{path}/commentary", words, found["version"])
    owner = f"{of.provider}.business_owner"
    return str((await stage.call(owner, "POST", f"{path}/publish", ATTEST, found["version"]))["id"])


async def to_register_an_agreement(stage: Stage, of: Parties) -> Made:
    return Made({}, _agreement(stage, of))


async def to_register_an_sla(stage: Stage, of: Parties) -> Made:
    return Made({}, _sla(of, await agreement(stage, of)))


async def to_schedule(stage: Stage, of: Parties) -> Made:
    return Made({"sla_id": await sla(stage, of)}, {"period": PERIOD})


async def to_draft_a_report(stage: Stage, of: Parties) -> Made:
    return Made({"report_id": (await scheduled_report(stage, of))["id"]}, None)


async def to_comment(stage: Stage, of: Parties) -> Made:
    words = {"summary": "A good month.", "causes": {METRIC["key"]: "Nothing was sent."}}
    return Made({"report_id": (await drafted_report(stage, of))["id"]}, words)


async def to_publish(stage: Stage, of: Parties) -> Made:
    return Made({"report_id": (await drafted_report(stage, of))["id"]}, ATTEST)


async def to_observe(stage: Stage, of: Parties) -> Made:
    return Made({"sla_id": await sla(stage, of)}, {"items": [probe(1)]})


# changes


async def change_request(stage: Stage, of: Parties, **over: Any) -> str:
    form = change(stage.s, charter_id=str(of.charter_id), title=f"{of.word} change", **over)
    made = await stage.call(f"{of.customer}.business_owner", "POST", CHANGES, form)
    return str(made["id"])


async def _voted(stage: Stage, of: Parties, vote: str) -> dict[str, Any]:
    path = f"{CHANGES}/{await change_request(stage, of, impact=JOWG_IMPACT)}"
    found = await stage.call(f"{of.customer}.om_team", "GET", path)
    for side in (of.customer, of.provider):
        ballot = {"vote": vote, "rationale": f"{of.word}: discussed"}
        found = await stage.call(f"{side}.om_team", "POST", f"{path}/decide", ballot, found["version"])
    return found


async def decision(stage: Stage, of: Parties) -> str:
    return str((await _voted(stage, of, "approve"))["decision_id"])


async def escalation(stage: Stage, of: Parties) -> str:
    found = await stage.call(
        f"{of.customer}.om_team", "GET", f"{CHANGES}/{await change_request(stage, of, impact=JOWG_IMPACT)}"
    )
    body = {"reason_code": "contentious", "what_was_tried": f"{of.word}: two meetings"}
    path = f"{CHANGES}/{found['id']}/escalate"
    up = await stage.call(f"{of.customer}.om_team", "POST", path, body, found["version"])
    return str(up["escalation_id"])


async def to_submit(stage: Stage, of: Parties) -> Made:
    return Made({}, change(stage.s, charter_id=str(of.charter_id), title=f"{of.word} change"))


async def to_preview(stage: Stage, of: Parties) -> Made:
    return Made({}, {"charter_id": str(of.charter_id), "type": "normal", "impact": JOWG_IMPACT})


async def to_assess(stage: Stage, of: Parties) -> Made:
    return Made({"change_id": await change_request(stage, of, impact={})}, {"impact": JOWG_IMPACT})


async def to_resume(stage: Stage, of: Parties) -> Made:
    return Made({"change_id": (await _voted(stage, of, "defer"))["id"]}, {"reason": "The funds arrived."})


# notifier


async def alert(stage: Stage, of: Parties) -> str:
    event = EscalationRaised(
        escalation_id=uuid7(),
        subject_kind="change_request",
        subject_id=uuid7(),
        subject_number=f"CR-{of.word}",
        title=f"{of.word} gateway",
        from_body="jowg",
        to_body="smb",
        cause="clock",
        reason_code="clock_ran_out",
        severity=Severity.high,
        clock_ends_at=None,
    )
    await stage.s.publish(event, aggregate_id=event.escalation_id, scope=stage.scope(of))
    listed = await stage.call(f"{of.customer}.om_team", "GET", f"{NOTIFIER}/alerts?limit=1")
    return str(listed["items"][0]["id"])


def endpoint_form(of: Parties) -> dict[str, Any]:
    return {"name": f"{of.word} desk", "url": f"https://{of.word.lower()}.example.gov/{of.word}"}


async def endpoint(stage: Stage, of: Parties) -> str:
    form = endpoint_form(of)
    return str((await stage.call(f"{of.customer}.om_team", "POST", f"{NOTIFIER}/endpoints", form))["id"])


async def delivery(stage: Stage, of: Parties) -> str:
    found = await endpoint(stage, of)
    await alert(stage, of)
    listed = await stage.call(f"{of.customer}.om_team", "GET", f"{NOTIFIER}/deliveries?endpoint_id={found}")
    return str(listed["items"][0]["id"])


async def to_register_an_endpoint(stage: Stage, of: Parties) -> Made:
    return Made({}, endpoint_form(of))


async def to_enable(stage: Stage, of: Parties) -> Made:
    """An endpoint that was switched off and then tested; sending is not what is tested here."""
    found = await endpoint(stage, of)
    await stage.call(f"{of.customer}.om_team", "POST", f"{NOTIFIER}/endpoints/{found}/disable", version=1)
    async with stage.s.kernel.database.system() as session:
        await session.execute(
            text("UPDATE endpoint SET tested_at = disabled_at WHERE id = :id"), {"id": found}
        )
    return Made({"endpoint_id": found})


async def to_render(stage: Stage, of: Parties) -> Made:
    return Made({}, {"alert_id": await alert(stage, of)})


# every service


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


COLLECTIONS: Mapping[str, Callable[[Stage, Parties], Awaitable[str]]] = {
    "organizations": organization,
    "members": member,
    "charters": active_charter,
    "agreements": agreement,
    "slas": sla,
    "reports": published_report,
    "change_requests": change_request,
    "decisions": decision,
    "escalations": escalation,
    "alerts": alert,
    "endpoints": endpoint,
    "deliveries": delivery,
    "dead_letters": dead_letter,
}

REQUESTS: Mapping[str, Callable[[Stage, Parties], Awaitable[Made]]] = {
    "create_member": to_add_a_member,
    "create_charter": to_draft,
    "replace_charter_content": draft_with_text,
    "freeze_charter": to_freeze,
    "sign_charter": to_sign,
    "decline_charter": to_decline,
    "create_agreement": to_register_an_agreement,
    "create_sla": to_register_an_sla,
    "create_report": to_schedule,
    "draft_report": to_draft_a_report,
    "comment_report": to_comment,
    "publish_report": to_publish,
    "create_observations": to_observe,
    "create_change_request": to_submit,
    "preview_change_route": to_preview,
    "assess_change_request": to_assess,
    "resume_change_request": to_resume,
    "create_endpoint": to_register_an_endpoint,
    "enable_endpoint": to_enable,
    "render_template": to_render,
    "export_audit_chain": to_export,
    "replay_dead_letters_of_service": to_replay,
    "discard_dead_letters_of_service": to_discard,
}


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
    found = {}
    for each in route.parameters("query"):
        if not each.get("required"):
            continue
        name = each["name"]
        found[name] = PERIOD if name == "period" else await id_for(stage, name, of)
    return found


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
