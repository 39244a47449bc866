"""Change requests for tests: a valid one, and the steps tests take with it."""

from typing import Any

import httpx

from tests.support.harness import RunningService

CHANGES = "/changes/v1/change_requests"
JOWG_IMPACT = {
    "cost_one_time": "4000",
    "cost_annual": "0",
    "schedule_days": "2",
    "sla_effect": "none",
    "security_impact": "none",
}
SMB_IMPACT = JOWG_IMPACT | {"cost_one_time": "180000.00", "schedule_days": "15", "security_impact": "low"}


def change(s: RunningService, **over: Any) -> dict[str, Any]:
    """A complete, valid change request worth $180,000 and 15 business days."""
    return {
        "charter_id": str(s.world.charter_id),
        "title": "Support release 7.2",
        "type": "normal",
        "category": "scope",
        "description": "Upgrade payroll to release 7.2.",
        "justification": "Release 7.1 loses support.",
        "consequence_of_not_doing": "No security fixes.",
        "priority": {"impact": "medium", "urgency": "medium"},
        "impact": SMB_IMPACT,
        "back_out_plan": "Restore 7.1 from the snapshot.",
    } | over


async def submitted(
    s: RunningService, member: str = "customer.business_owner", **over: Any
) -> dict[str, Any]:
    """A change request as the log answers it; the business owner asks, so that both teams may vote."""
    return created(await s.post(member, CHANGES, change(s, **over)))


async def act(
    s: RunningService, member: str, change: dict[str, Any], verb: str, body: dict[str, Any]
) -> dict[str, Any]:
    """Do something to a change request in the version it was found in."""
    path = f"{CHANGES}/{change['id']}/{verb}"
    return ok(await s.post(member, path, body, version=change["version"]))


async def vote(
    s: RunningService, member: str, change: dict[str, Any], choice: str, **more: str
) -> dict[str, Any]:
    return await act(
        s, member, change, "decide", {"vote": choice, "rationale": f"{choice}: discussed"} | more
    )


async def read(s: RunningService, change: dict[str, Any], member: str = "customer.om_team") -> dict[str, Any]:
    return ok(await s.get(member, f"{CHANGES}/{change['id']}"))


def created(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    return _tagged(answer)


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return _tagged(answer)


def problem(answer: httpx.Response, status: int) -> str:
    """The code of a refusal that came with that status."""
    assert answer.status_code == status, answer.text
    return str(answer.json()["code"])


def _tagged(answer: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if "version" in body:
        assert answer.headers["ETag"] == f'"{body["version"]}"'
    return body
