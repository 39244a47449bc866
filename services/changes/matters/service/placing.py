"""How a body receives a matter: its clock, the rules it decides by, and what is asked of its seats."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from services.changes.matters.domain.escalation import RungClock
from services.changes.matters.domain.routing import Explanation, explain
from services.changes.matters.domain.voting import Outcome, outcome, voting_seats
from services.changes.matters.models import Matter, Position
from shared.contracts.base import Ask, Event
from shared.contracts.governance import Body, ExecutableCharter
from shared.data.direct import Direct
from shared.data.history import Act
from shared.data.session import Governed, inherited
from shared.runtime.due import clear, schedule

CLOCK = "matter.clock"
"""What is due while a body has a matter."""


def child_of(parent: Governed, now: datetime) -> dict[str, Any]:
    """The columns of a row that hangs on another one and never changes by itself."""
    return inherited(parent, now) | {"version": 1}


def step(
    matter: Matter, event: Event, action: str, note: str = "", detail: Mapping[str, object] | None = None
) -> Act:
    """The act that brought the matter to where it is now; its timeline shows the state, the body and the note."""
    shown = {"state": matter.state, "body": matter.body, "note": note}
    return Act(action, event, shown | dict(detail or {}))


def about(matter: Matter, asks: Sequence[Ask] = ()) -> dict[str, Any]:
    """The fields that every event of a matter begins with."""
    return {
        "matter_id": matter.id,
        "subject_kind": matter.subject_kind,
        "subject_id": matter.subject_id,
        "subject_number": matter.subject_number,
        "title": matter.title,
        "asks": tuple(asks),
    }


def received(matter: Matter) -> dict[str, Any]:
    """The fields of an event by which a body receives a matter."""
    return {
        "body": matter.body,
        "tier": matter.tier,
        "severity": matter.severity,
        "rules": matter.rules,
        "clock_ends_at": matter.clock_ends_at,
    }


async def place(
    transaction: AsyncSession | Direct,
    matter: Matter,
    content: ExecutableCharter,
    body: Body,
    clock: RungClock | None,
    lines: Sequence[Explanation] | None = None,
) -> None:
    """The body receives the matter: a new stay, a new clock, and the rules it decides by (`lines`, if known)."""
    enter(matter, content, body, lines)
    await _start_clock(transaction, matter, clock)


def enter(
    matter: Matter, content: ExecutableCharter, body: Body, lines: Sequence[Explanation] | None = None
) -> None:
    """The body has the matter anew: a new stay on the clock that runs."""
    lines = lines or explain(content, body, matter.impact, emergency=matter.is_emergency)
    matter.body, matter.body_name, matter.tier = body.key, body.name, body.tier
    matter.explanation = [as_text(line) for line in lines]
    matter.entry += 1


async def _start_clock(transaction: AsyncSession | Direct, matter: Matter, clock: RungClock | None) -> None:
    matter.clock_starts_at = clock.starts_at if clock else None
    matter.clock_warns_at = clock.warns_at if clock else None
    matter.clock_ends_at = clock.ends_at if clock else None
    matter.clock_warned_at = matter.clock_expired_at = matter.clock_rule = None
    if clock is None:
        if not isinstance(transaction, Direct):  # there it is new, and had no clock
            await stop_clock(transaction, matter)
        return
    rule = {name: value for name, value in vars(clock).items() if not isinstance(value, datetime)}
    matter.clock_rule = rule
    steps = {"halfway": clock.halfway_at, "warning": clock.warns_at, "end": clock.ends_at}
    await schedule(transaction, CLOCK, matter, clock.ends_at, steps)


async def stop_clock(session: AsyncSession, matter: Matter) -> None:
    """Nobody has to hurry any more."""
    await clear(session, CLOCK, matter)


def as_text(line: Explanation) -> dict[str, str]:
    return {name: str(value) for name, value in vars(line).items()}


def asks(matter: Matter, body: Body, standing: Iterable[Position] = ()) -> list[Ask]:
    """What the seats of the body are asked for: a position each, until their party has one.

    Then the party's other seats may still speak. Different votes that nobody above can settle are asked for again.
    """
    given = list(standing)
    voted = {} if outcome(given) is Outcome.deadlocked else {each.party: each.seat for each in given}
    return [
        Ask.model_construct(
            ask_id=_ask_id(matter, key),
            act="decide",
            seats=(key,),
            party=seat.party,
            roles=(seat.role,),
            due_at=matter.clock_ends_at,
            why=matter.question,
            link=f"/changes/v1/matters/{matter.id}",
            optional=seat.party in voted,
        )
        for key, seat in voting_seats(body).items()
        if voted.get(seat.party) != key
    ]


def _ask_id(matter: Matter, seat: str) -> UUID:
    """The same for one seat as long as the matter stays with the body."""
    return uuid5(matter.id, f"{matter.entry}/{seat}")
