"""What the charter service keeps, made as its owner would, and requests that work there."""

from itertools import count
from typing import Any
from uuid import uuid4

from tests.hostile.support import Made, Parties, Stage

CHARTERS = "/charter/v1/charters"


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


_NUMBERS = count(1)


def charter_form(stage: Stage, of: Parties) -> dict[str, Any]:
    return {
        "customer_org_id": str(stage.org(of.customer)),
        "provider_org_id": str(stage.org(of.provider)),
        "observer_org_ids": [str(stage.org(of.observer))],
        "from_model": {
            "title": f"{of.word} charter",
            "services": [f"service {next(_NUMBERS)}"],
            "effective_date": "2026-10-01",
            "annual_order_value": "4800000.00",
        },
    }


async def draft(stage: Stage, of: Parties) -> dict[str, Any]:
    return await stage.call(f"{of.customer}.om_team", "POST", CHARTERS, charter_form(stage, of))


async def frozen(stage: Stage, of: Parties) -> dict[str, Any]:
    charter = await draft(stage, of)
    path = f"{CHARTERS}/{charter['id']}/freeze"
    return await stage.call(f"{of.provider}.om_team", "POST", path, version=charter["version"])


async def active_charter(stage: Stage, of: Parties) -> str:
    charter = await frozen(stage, of)
    for side in (of.customer, of.provider):
        for role in ("business_owner", "executive_sponsor"):
            body = {"content_hash": charter["content_hash"], "role": role}
            path = f"{CHARTERS}/{charter['id']}/sign"
            charter = await stage.call(f"{side}.{role}", "POST", path, body, charter["version"])
    return str(charter["id"])


async def draft_with_text(stage: Stage, of: Parties) -> Made:
    charter = await draft(stage, of)
    content = await stage.call(f"{of.customer}.om_team", "GET", f"{CHARTERS}/{charter['id']}/content")
    first = {name: rows[:1] for name, rows in content.items() if isinstance(rows, list) and rows}
    return Made({"charter_id": charter["id"]}, content | first)


async def to_sign(stage: Stage, of: Parties) -> Made:
    charter = await frozen(stage, of)
    body = {"content_hash": charter["content_hash"], "role": "business_owner"}
    return Made({"charter_id": charter["id"]}, body)


async def to_decline(stage: Stage, of: Parties) -> Made:
    return Made({"charter_id": (await frozen(stage, of))["id"]}, {"reason": "Not yet."})


async def to_freeze(stage: Stage, of: Parties) -> Made:
    return Made({"charter_id": (await draft(stage, of))["id"]}, None)


async def to_draft(stage: Stage, of: Parties) -> Made:
    return Made({}, charter_form(stage, of))


async def to_add_a_member(stage: Stage, of: Parties) -> Made:
    return Made({"organization_id": str(stage.org(of.customer))}, member_form(of))
