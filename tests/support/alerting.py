"""Steps that several tests of the notifier take: events that alert, endpoints, their answers."""

from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from shared.contracts.base import Event
from shared.contracts.changes import EscalationClosed, EscalationElevated, EscalationRaised
from shared.contracts.governance import Severity
from shared.contracts.sla import AgreementReviewDueSoon, AgreementReviewOverdue, MetricMissed, ReportOverdue
from shared.data.ids import uuid7
from tests.support.harness import RunningService
from tests.support.world import START

NOTIFIER = "/notifier/v1"
LOCAL = {"allowed_networks": ("127.0.0.0/8",), "allowed_ports": ("1-65535",)}


OWN_TABLES = (
    "delivery_attempt",
    "delivery",
    "endpoint_secret",
    "endpoint",
    "alert",
    "outbox",
    "inbox",
    "consumed_version",
    "idempotency",
)


async def emptied(s: RunningService, now: datetime = START) -> RunningService:
    """The same running service with nothing in it: a new database for every test would take seconds."""
    async with s.kernel.database.system() as session:
        for table in OWN_TABLES:
            await session.execute(text(f"DELETE FROM {table}"))
    await s.forget_events()
    s.clock.set(now)
    return s


def ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["code"])


async def escalated(
    s: RunningService,
    escalation_id: UUID | None = None,
    *,
    severity: Severity = Severity.high,
    version: int = 1,
) -> UUID:
    """Publish that a change request was escalated; both parties are alerted."""
    escalation_id = escalation_id or uuid7()
    event = EscalationRaised(
        escalation_id=escalation_id,
        subject_kind="change_request",
        subject_id=uuid7(),
        subject_number="CR-FY27-0001",
        title="Replace the gateway",
        from_body="jowg",
        to_body="smb",
        cause="clock",
        reason_code="clock_ran_out",
        severity=severity,
        clock_ends_at=None,
    )
    await s.publish(event, aggregate_id=escalation_id, version=version)
    return escalation_id


async def elevated(
    s: RunningService, escalation_id: UUID, *, severity: Severity = Severity.high, version: int = 2
) -> None:
    event = EscalationElevated(
        escalation_id=escalation_id,
        subject_kind="change_request",
        subject_id=uuid7(),
        subject_number="CR-FY27-0001",
        title="Replace the gateway",
        from_body="smb",
        to_body="esc",
        cause="clock",
        reason_code="clock_ran_out",
        severity=severity,
        clock_ends_at=None,
    )
    await s.publish(event, aggregate_id=escalation_id, version=version)


async def closed(s: RunningService, escalation_id: UUID, *, version: int = 3) -> None:
    event = EscalationClosed(
        escalation_id=escalation_id,
        subject_kind="change_request",
        subject_id=uuid7(),
        subject_number="CR-FY27-0001",
        outcome="approved",
    )
    await s.publish(event, aggregate_id=escalation_id, version=version)


async def review_due(s: RunningService, agreement_id: UUID, *, days_left: int, version: int) -> None:
    event = AgreementReviewDueSoon(
        agreement_id=agreement_id, title="IAA 27-001", due="2027-01-10", days_left=days_left
    )
    await s.publish(event, aggregate_id=agreement_id, version=version)


async def review_overdue(s: RunningService, agreement_id: UUID, *, version: int) -> None:
    event = AgreementReviewOverdue(agreement_id=agreement_id, title="IAA 27-001", due="2027-01-10")
    await s.publish(event, aggregate_id=agreement_id, version=version)


async def missed(s: RunningService, sla_id: UUID | None = None) -> UUID:
    """Publish that a metric missed its minimum: a fact that no later event takes back."""
    sla_id = sla_id or uuid7()
    event = MetricMissed(
        result_id=uuid7(),
        report_id=uuid7(),
        sla_id=sla_id,
        metric_key="availability",
        metric_name="Availability",
        service="payroll",
        period="2026-10",
        level="minimum",
        value="99.2",
        expected="99.9",
        minimum="99.5",
        unit="percent",
    )
    await s.publish(event, aggregate_id=event.result_id)
    return sla_id


async def report_overdue(s: RunningService, report_id: UUID | None = None, version: int = 1) -> UUID:
    """Publish that the provider owes a report; it has to act, and both parties are alerted."""
    report_id = report_id or uuid7()
    event = ReportOverdue(
        report_id=report_id, sla_id=uuid7(), title="Payroll", period="2026-10", due=s.clock()
    )
    await s.publish(event, aggregate_id=report_id, version=version)
    return report_id


async def alerts_of(s: RunningService, member: str, **filters: Any) -> list[dict[str, Any]]:
    return list(ok(await s.get(member, f"{NOTIFIER}/alerts", **filters))["items"])


async def registered(
    s: RunningService, url: str, member: str = "customer.om_team", **form: Any
) -> dict[str, Any]:
    """A new endpoint, with its signing secret."""
    body = {"name": "Ticket desk", "url": url} | form
    return ok(await s.post(member, f"{NOTIFIER}/endpoints", body), 201)


async def endpoint_now(s: RunningService, endpoint: dict[str, Any]) -> dict[str, Any]:
    return ok(await s.get("customer.om_team", f"{NOTIFIER}/endpoints/{endpoint['id']}"))


async def deliveries_of(s: RunningService, endpoint: dict[str, Any]) -> list[dict[str, Any]]:
    """The deliveries of an endpoint, newest first, each with its attempts."""
    member = "customer.om_team"
    listed = ok(await s.get(member, f"{NOTIFIER}/deliveries", endpoint_id=endpoint["id"]))["items"]
    return [ok(await s.get(member, f"{NOTIFIER}/deliveries/{each['id']}")) for each in listed]


async def act(
    s: RunningService, row: dict[str, Any], kind: str, verb: str, body: object = None
) -> httpx.Response:
    """POST a verb on a resource as the customer's team, with the version it was read at."""
    path = f"{NOTIFIER}/{kind}/{row['id']}/{verb}"
    return await s.post("customer.om_team", path, body, version=row["version"])


async def loop_back(s: RunningService, *kinds: type[Event]) -> None:
    """Let the notifier receive its own events, as it does from the bus."""
    for kind in kinds:
        for sent in await s.envelopes(kind):
            event = kind.model_validate(sent["data"])
            scope = s.world.scope
            await s.publish(event, aggregate_id=sent["subject"], version=sent["sequence"], scope=scope)
