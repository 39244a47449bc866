"""Deadlines, reminders and what takes effect on its day: rows of one table per service (`due_runner.py` handles them).

A feature schedules a row in the transaction of the act that makes something due, and clears it in the one that
settles it. Its `due.py` says what happens when the moment comes:

    KINDS = (Kind("report.publication", Report, service.mark_overdue),)

    await schedule(session, "charter.activation", charter, begins)                 # one step, at that moment
    await schedule(session, "report.publication", report, due_at, just_after(due_at))
    await schedule(session, "matter.rung", matter, ends, {"warning": warns, "end": ends})
    await clear(session, "matter.rung", matter)

A service's `app.py` lists the kinds of its features. Lock the subject before you schedule or clear (a row just
made needs no lock): the runner does so too, in that order, so that neither waits for the other in a circle.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data.direct import Direct
from shared.data.ids import uuid7
from shared.data.session import Versioned

R = TypeVar("R", bound=Versioned)

AT_THE_DEADLINE: Final = "due"


@dataclass(frozen=True)
class Step:
    """The moment that came: its name, when it was to come, and the deadline it leads to."""

    name: str
    at: datetime
    due_at: datetime


@dataclass(frozen=True)
class Kind(Generic[R]):
    """What happens when a step of such a row is reached. `handle(session, subject, step, now)` gets the subject locked.

    Steps that were slept through are not made up for: the newest one reached is handled, the earlier ones are not.
    """

    name: str
    subject: type[R]
    handle: Callable[[AsyncSession, R, Step, datetime], Awaitable[None]]


_SCHEDULE: Final = text(
    """
    INSERT INTO due (id, kind, subject_type, subject_id, charter_id, customer_org_id, provider_org_id, visibility,
                     due_at, steps, wakes_at)
    VALUES (:id, :kind, :subject_type, :subject_id, :charter_id, :customer_org_id, :provider_org_id, :visibility,
            :due_at, CAST(:steps AS jsonb), :wakes_at)
    ON CONFLICT (kind, subject_id) DO UPDATE
       SET due_at = excluded.due_at, steps = excluded.steps, wakes_at = excluded.wakes_at,
           attempts = 0, last_error = NULL
    """
)
_CLEAR: Final = text("DELETE FROM due WHERE kind = :kind AND subject_id = :subject_id")


def just_after(deadline: datetime) -> dict[str, datetime]:
    """The one step `overdue`, at the first instant after the deadline: what is done at the deadline is in time."""
    return {"overdue": deadline + timedelta(microseconds=1)}


def new_row(
    kind: str, subject: Versioned, due_at: datetime, steps: Mapping[str, datetime] | None = None
) -> dict[str, object]:
    """A row of the table, for a subject that is just made; `schedule` says the rest."""
    ordered = sorted((steps or {AT_THE_DEADLINE: due_at}).items(), key=lambda step: step[1])
    scope = subject.scope
    return {
        "id": uuid7(),
        "kind": kind,
        "subject_type": subject.aggregate,
        "subject_id": subject.id,
        "charter_id": scope.charter_id,
        "customer_org_id": scope.customer_org_id or subject.owner,
        "provider_org_id": scope.provider_org_id or subject.owner,
        "visibility": scope.visibility,
        "due_at": due_at,
        "steps": as_document(Step(name, at, due_at) for name, at in ordered),
        "wakes_at": ordered[0][1],
    }


async def schedule(
    transaction: AsyncSession | Direct,
    kind: str,
    subject: Versioned,
    due_at: datetime,
    steps: Mapping[str, datetime] | None = None,
) -> None:
    """Let a row of this kind wait for its steps, in place of what it waited for; without steps, for `due_at` alone.

    A step that lies in the past comes at once. In a direct transaction the subject is new, so nothing waited for it.
    """
    row = new_row(kind, subject, due_at, steps)
    if isinstance(transaction, Direct):
        transaction.add("due", row)
    else:
        await transaction.execute(_SCHEDULE, row | {"steps": orjson.dumps(row["steps"]).decode()})


async def clear(session: AsyncSession, kind: str, subject: Versioned) -> None:
    """Settled: nothing of this kind waits for the row any more. Does nothing where nothing waited."""
    await session.execute(_CLEAR, {"kind": kind, "subject_id": subject.id})


def as_document(steps: Iterable[Step]) -> list[dict[str, str]]:
    """How the steps still to come are kept, earliest first."""
    return [{"name": step.name, "at": step.at.isoformat()} for step in steps]
