"""What the notifier keeps, made by events or as its owner would, and requests that work there."""

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from shared.calendars.business_days import FEDERAL_ET
from shared.calendars.business_time import business_calendar
from shared.contracts.changes import EscalationRaised
from shared.contracts.governance import Severity
from shared.contracts.sla import MetricMissed
from shared.data.ids import uuid7
from tests.hostile.support import Made, Parties, Stage

NOTIFIER = "/notifier/v1"


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
    made = await endpoint(stage, of)
    await alert(stage, of)
    listed = await stage.call(f"{of.customer}.om_team", "GET", f"{NOTIFIER}/deliveries?endpoint_id={made}")
    return str(listed["items"][0]["id"])


async def to_register_an_endpoint(stage: Stage, of: Parties) -> Made:
    return Made({}, endpoint_form(of))


async def to_enable(stage: Stage, of: Parties) -> Made:
    """An endpoint that was switched off and then tested; sending is not what is tested here."""
    made = await endpoint(stage, of)
    await stage.call(f"{of.customer}.om_team", "POST", f"{NOTIFIER}/endpoints/{made}/disable", version=1)
    async with stage.s.kernel.database.system() as session:
        await session.execute(
            text("UPDATE endpoint SET tested_at = disabled_at WHERE id = :id"), {"id": made}
        )
    return Made({"endpoint_id": made})


async def to_resolve(stage: Stage, of: Parties) -> Made:
    """An alert that no event ends."""
    event = MetricMissed(
        result_id=uuid7(),
        report_id=uuid7(),
        sla_id=uuid7(),
        metric_key="availability",
        metric_name=f"{of.word} availability",
        service=of.word,
        period="2026-10",
        level="minimum",
        value="99.2",
        expected="99.9",
        minimum="99.5",
        unit="percent",
    )
    await stage.s.publish(event, aggregate_id=event.result_id, scope=stage.scope(of))
    listed = await stage.call(f"{of.customer}.om_team", "GET", f"{NOTIFIER}/alerts?limit=1")
    return Made({"alert_id": str(listed["items"][0]["id"])}, {"note": "Settled."})


async def to_comment(stage: Stage, of: Parties) -> Made:
    return Made({"alert_id": await alert(stage, of)}, {"note": "Seen."})


async def to_snooze(stage: Stage, of: Parties) -> Made:
    """Until the next business time a day from now."""
    until = business_calendar(FEDERAL_ET).next_open(stage.s.clock() + timedelta(days=1))
    made = await alert(stage, of)
    return Made({"alert_id": made}, {"until": until.isoformat(), "reason": "The board meets then."})


async def to_render(stage: Stage, of: Parties) -> Made:
    return Made({}, {"alert_id": await alert(stage, of)})
