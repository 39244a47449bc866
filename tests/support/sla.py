"""Builders for agreements, SLAs and observations with valid defaults."""

import json
from collections.abc import Iterable
from itertools import count
from typing import Any

import httpx

from tests.support.harness import RunningService

_NUMBERS = count(1)


def agreement_form(service: RunningService, **changes: Any) -> dict[str, Any]:
    return {
        "charter_id": str(service.world.charter_id),
        "kind": "IAA_GTC",
        "gtc_number": f"A2610-990-991-{next(_NUMBERS):06d}",
        "title": "Shared services FY27 to FY29",
        "start_date": "2026-10-01",
        "end_date": "2029-09-30",
        "total_amount": "4800000.00",
        "termination_days": 180,
    } | changes


def metric_form(**changes: Any) -> dict[str, Any]:
    return {
        "key": "AV-01",
        "name": "Payroll availability",
        "service": "payroll",
        "rule": {"aggregation": "availability", "basis": "checks"},
        "expected": "99.5",
        "minimum": "99.0",
        "zone": "UTC",
        "zero_volume": "no_data",
    } | changes


def sla_form(agreement_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "agreement_id": agreement_id,
        "title": "Payroll service levels",
        "service": "payroll",
        "effective_date": "2026-10-01",
        "end_date": "2029-09-30",
        "remediation_policy": "A corrective action plan within ten business days of a published miss.",
        "metrics": [metric_form()],
    } | changes


async def register_agreement(service: RunningService, **changes: Any) -> dict[str, Any]:
    answer = await service.post("customer.om_team", "/sla/v1/agreements", agreement_form(service, **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def register_sla(
    service: RunningService, agreement: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    agreement = agreement or await register_agreement(service)
    answer = await service.post("provider.om_team", "/sla/v1/slas", sla_form(agreement["id"], **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


def probe(number: int, *, good: bool = True, **changes: Any) -> dict[str, Any]:
    """The `number`-th check of payroll in October 2026, one every ten minutes."""
    day, minute = divmod(number * 10, 1440)
    return {
        "source": "status-page",
        "source_id": f"payroll-{number}",
        "kind": "probe",
        "service": "payroll",
        "occurred_at": f"2026-10-{day + 1:02}T{minute // 60:02}:{minute % 60:02}:00Z",
        "good": good,
    } | changes


async def send(
    service: RunningService,
    sla_id: str,
    body: str | bytes,
    *,
    kind: str = "application/json",
    member: str = "provider.om_team",
    **params: str,
) -> httpx.Response:
    """POST a body of observations."""
    headers = service.headers(member) | {"Content-Type": kind}
    content = body.encode() if isinstance(body, str) else body
    path = f"/sla/v1/slas/{sla_id}/observations"
    return await service.client.post(path, headers=headers, content=content, params=params)


async def observe(
    service: RunningService, sla_id: str, rows: Iterable[dict[str, Any]], **params: str
) -> dict[str, Any]:
    answer = await send(service, sla_id, json.dumps({"items": list(rows)}), **params)
    assert answer.status_code == 200, answer.text
    return answer.json()
