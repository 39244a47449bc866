"""What every step of a change request leaves: event, audit row, timeline entry; and how a body receives it."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.domain.change_log import ChangeType
from services.changes.domain.escalation import clock_of
from services.changes.domain.routing import Explanation, explain
from services.changes.models import ChangeRequest, TimelineEntry
from shared.authz import Actor, Principal
from shared.contracts.base import Event
from shared.contracts.changes import ChangeRouted
from shared.db import Governed
from shared.domain.governance import Body, ExecutableCharter
from shared.recording import record


def child_of(parent: Governed, now: datetime) -> dict[str, Any]:
    """The scope columns of a row that hangs on another one and never changes by itself."""
    return {
        "charter_id": parent.charter_id,
        "customer_org_id": parent.customer_org_id,
        "provider_org_id": parent.provider_org_id,
        "visibility": parent.visibility,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }


def actor_columns(by: Actor) -> dict[str, Any]:
    return {"actor_name": by.display_name, "actor_id": by.member_id if isinstance(by, Principal) else None}


async def leave_trail(
    session: AsyncSession,
    row: ChangeRequest,
    event: Event,
    *,
    by: Actor,
    action: str,
    now: datetime,
    note: str = "",
    detail: dict[str, object] | None = None,
) -> None:
    """Record the step and add it to the timeline under the version it produced."""
    await record(session, by=by, action=action, row=row, event=event, now=now, detail=detail)
    entry = TimelineEntry(
        **child_of(row, now),
        **actor_columns(by),
        change_id=row.id,
        seq=row.version,
        action=action,
        state=row.state,
        body=row.body,
        note=note,
    )
    session.add(entry)


def place(row: ChangeRequest, content: ExecutableCharter, body: Body, starts_at: datetime) -> None:
    """The body receives the request: a new stay, a new clock, and the rules it decides by."""
    lines = explain(content, body, row.impact, emergency=row.type is ChangeType.emergency)
    row.body, row.body_name, row.tier = body.key, body.name, body.tier
    row.explanation = [spoken(line) for line in lines]
    row.rung += 1
    _start_clock(row, content, body, starts_at)


def _start_clock(row: ChangeRequest, content: ExecutableCharter, body: Body, starts_at: datetime) -> None:
    clock = clock_of(content, body.key, row.severity, starts_at)
    row.clock_starts_at = clock.starts_at if clock else None
    row.clock_warns_at = clock.warns_at if clock else None
    row.clock_ends_at = clock.ends_at if clock else None
    row.clock_warned_at = row.clock_expired_at = None
    row.clock_rule = None
    if clock:
        row.clock_rule = {
            name: value for name, value in asdict(clock).items() if not isinstance(value, datetime)
        }


def spoken(line: Explanation) -> dict[str, str]:
    return {name: str(value) for name, value in asdict(line).items()}


def routed(row: ChangeRequest) -> ChangeRouted:
    """The event that tells a body it has the request."""
    return ChangeRouted(
        change_id=row.id,
        number=row.number,
        title=row.title,
        body=row.body or "",
        tier=row.tier or 0,
        severity=row.severity,
        rules=row.rules,
        clock_ends_at=row.clock_ends_at,
    )


async def detailed(session: AsyncSession, row: ChangeRequest) -> ChangeRequest:
    """The row with its votes and timeline loaded."""
    await session.flush()
    await session.refresh(row, ["votes", "timeline"])
    return row
