"""The change-request log over HTTP: submit, preview, assess, read, withdraw, export."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from shared.contracts.changes import ChangeRouted, ChangeSubmitted, ChangeWithdrawn
from tests.conftest import StartService
from tests.support.harness import RunningService

CHANGES = "/changes/v1/change_requests"
SMB_IMPACT = {
    "cost_one_time": "180000.00",
    "cost_annual": "0",
    "schedule_days": "15",
    "sla_effect": "none",
    "security_impact": "low",
}


@pytest.fixture(scope="module")
async def s(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as service:
        yield service


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


async def submitted(s: RunningService, member: str = "customer.om_team", **over: Any) -> dict[str, Any]:
    answer = await s.post(member, CHANGES, change(s, **over))
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_complete_request_is_routed_at_once_and_says_why(s: RunningService) -> None:
    found = await submitted(s)
    assert (found["state"], found["body"], found["tier"], found["severity"]) == (
        "pending_decision",
        "smb",
        2,
        "moderate",
    )
    assert found["number"].startswith("CR-FY27-")
    assert found["charter_version"] == 1
    assert {line["dimension"]: line["rule"] for line in found["explanation"]} == {
        dimension: f"{dimension}/t2" for dimension in SMB_IMPACT
    }
    assert found["clock"]["ends_at"] == "2026-11-25T22:00:00Z"
    assert [entry["action"] for entry in found["timeline"]] == ["change.submit", "change.route"]
