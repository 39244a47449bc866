"""Steps of a charter's life that several API tests take."""

from itertools import count
from typing import Any

import httpx

from tests.support.harness import RunningService

CHARTERS = "/charter/v1/charters"
SIGNATORIES = (
    "customer.business_owner",
    "customer.executive_sponsor",
    "provider.business_owner",
    "provider.executive_sponsor",
)

_NUMBERS = count(1)


def form(s: RunningService, **changes: Any) -> dict[str, Any]:
    """The request for a model charter of a service of its own, between customer and provider, with an observer."""
    return {
        "customer_org_id": str(s.world.orgs["customer"]),
        "provider_org_id": str(s.world.orgs["provider"]),
        "observer_org_ids": [str(s.world.orgs["observer"])],
        "from_model": {
            "title": "O&M Governance Charter",
            "services": [f"service {next(_NUMBERS)}"],
            "effective_date": "2026-10-01",
            "annual_order_value": "4800000.00",
        },
    } | changes


async def drafted(s: RunningService, effective: str = "2026-10-01") -> dict[str, Any]:
    """A new draft of the model charter."""
    model = form(s)["from_model"] | {"effective_date": effective}
    answer = await s.post("customer.om_team", CHARTERS, form(s, from_model=model))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def content(s: RunningService, charter: dict[str, Any]) -> dict[str, Any]:
    return dict((await s.get("customer.om_team", f"{CHARTERS}/{charter['id']}/content")).json())


async def put_content(
    s: RunningService, charter: dict[str, Any], text: dict[str, Any], member: str = "provider.om_team"
) -> httpx.Response:
    headers = s.headers(member) | {"If-Match": f'"{charter["version"]}"'}
    return await s.client.put(f"{CHARTERS}/{charter['id']}/content", headers=headers, json=text)


async def frozen(s: RunningService, effective: str = "2026-10-01") -> dict[str, Any]:
    """A charter open for signatures."""
    charter = await drafted(s, effective)
    answer = await s.post(
        "provider.om_team", f"{CHARTERS}/{charter['id']}/freeze", version=charter["version"]
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def sign(s: RunningService, charter: dict[str, Any], member: str, **changes: Any) -> httpx.Response:
    body = {"content_hash": charter["content_hash"], "role": member.partition(".")[2]} | changes
    current = (await s.get(member, f"{CHARTERS}/{charter['id']}")).json()
    version = current.get("version", charter["version"])
    return await s.post(member, f"{CHARTERS}/{charter['id']}/sign", body, version=version)


async def signed_by_all(s: RunningService, effective: str = "2026-10-01") -> dict[str, Any]:
    """A charter all four signatories signed: active, or waiting for its date."""
    charter = await frozen(s, effective)
    for member in SIGNATORIES:
        answer = await sign(s, charter, member)
        assert answer.status_code == 200, answer.text
        charter = answer.json()
    return charter
