"""What a step of a change request tells its timeline, and how a body receives the request."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.changes.change_requests.domain import ChangeType
from services.changes.change_requests.models import ChangeRequest
from services.changes.matters.domain.escalation import clock_of
from services.changes.matters.domain.routing import Explanation, explain
from shared.contracts.base import Event
from shared.contracts.changes import ChangeRouted
from shared.contracts.governance import Body, ExecutableCharter
from shared.data.history import Act, Entry, timeline
from shared.data.session import Governed, inherited


def child_of(parent: Governed, now: datetime) -> dict[str, Any]:
    """The columns of a row that hangs on another one and never changes by itself."""
    return inherited(parent, now) | {"version": 1}


def step(
    row: ChangeRequest, event: Event, action: str, note: str = "", detail: Mapping[str, object] | None = None
) -> Act:
    """The act that brought the request to where it is now; its timeline shows the state, the body and the note."""
    return Act(action, event, {"state": row.state, "body": row.body, "note": note} | dict(detail or {}))


def place(
    row: ChangeRequest,
    content: ExecutableCharter,
    body: Body,
    starts_at: datetime,
    lines: Sequence[Explanation] | None = None,
) -> None:
    """The body receives the request: a new stay, a new clock, and the rules it decides by (`lines`, if known)."""
    lines = lines or explain(content, body, row.impact, emergency=row.type is ChangeType.emergency)
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
            name: value for name, value in vars(clock).items() if not isinstance(value, datetime)
        }


def spoken(line: Explanation) -> dict[str, str]:
    return {name: str(value) for name, value in vars(line).items()}


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
    await session.refresh(row, ["votes"])
    row.timeline = await timeline(session, row.id)
    return row


async def entered(session: AsyncSession, row: ChangeRequest, entries: Sequence[Entry]) -> ChangeRequest:
    """A row of this transaction with its votes and timeline, which need not be read back."""
    await session.flush()
    set_committed_value(row, "votes", [])
    row.timeline = entries
    return row
