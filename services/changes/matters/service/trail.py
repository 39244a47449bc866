"""What every step of a change request leaves: event, audit row, timeline entry; and how a body receives it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.changes.change_requests.domain import ChangeState, ChangeType
from services.changes.change_requests.models import ChangeRequest, TimelineEntry
from services.changes.matters.domain.escalation import clock_of
from services.changes.matters.domain.routing import Explanation, explain
from shared.contracts.base import Event
from shared.contracts.changes import ChangeRouted
from shared.contracts.governance import Body, ExecutableCharter
from shared.data.history import Act, record_all
from shared.data.session import Governed, inherited
from shared.web.authz import Actor, Principal


def child_of(parent: Governed, now: datetime) -> dict[str, Any]:
    """The columns of a row that hangs on another one and never changes by itself."""
    return inherited(parent, now) | {"version": 1}


def actor_columns(by: Actor) -> dict[str, Any]:
    return {"actor_name": by.display_name, "actor_id": by.member_id if isinstance(by, Principal) else None}


@dataclass(frozen=True)
class Step:
    """One step of a change request, with the state and the body it led to."""

    act: Act
    state: ChangeState
    body: str | None
    note: str


def step(
    row: ChangeRequest, event: Event, action: str, note: str = "", detail: dict[str, object] | None = None
) -> Step:
    """The step that brought the row to where it is now."""
    return Step(Act(action, event, detail or {}), row.state, row.body, note)


async def leave_steps(
    session: AsyncSession, row: ChangeRequest, steps: Sequence[Step], *, by: Actor, now: datetime
) -> list[TimelineEntry]:
    """Record the steps and add them to the timeline, each under the version it produced."""
    first = row.version + 1
    await record_all(session, by=by, row=row, acts=[step.act for step in steps], now=now)
    entries = [
        TimelineEntry(
            **child_of(row, now),
            **actor_columns(by),
            change_id=row.id,
            seq=seq,
            action=step.act.action,
            state=step.state,
            body=step.body,
            note=step.note,
        )
        for seq, step in enumerate(steps, first)
    ]
    session.add_all(entries)
    return entries


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
    """Record one step that is done."""
    await leave_steps(session, row, [step(row, event, action, note, detail)], by=by, now=now)


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
    await session.refresh(row, ["votes", "timeline"])
    return row


async def entered(
    session: AsyncSession, row: ChangeRequest, timeline: Sequence[TimelineEntry]
) -> ChangeRequest:
    """A row of this transaction with its votes and timeline, which need not be read back."""
    await session.flush()
    set_committed_value(row, "votes", [])
    set_committed_value(row, "timeline", list(timeline))
    return row
