"""What was set aside, and the two ways out: replay in order, or discard with a reason."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.messaging.failures import Failure, classify
from shared.messaging.inbox import Inbox, storable
from shared.pure.refusal import NotYet, Refused


@dataclass(frozen=True)
class DeadLetter:
    """One message that was set aside. `value` is what the bus delivered, byte for byte."""

    id: UUID
    consumer: str
    event_id: UUID | None
    event_type: str | None
    aggregate_id: UUID | None
    aggregate_version: int | None
    topic: str
    part: int
    off: int
    key: bytes | None
    headers: dict[str, str]
    value: bytes | None
    error_class: str
    error: str
    first_at: datetime
    last_at: datetime
    tries: int
    state: str
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None


class Replay(StrEnum):
    WOULD_REPLAY = "would_replay"
    REPLAYED = "replayed"
    FAILED = "failed"
    BLOCKED = "blocked"
    """An earlier letter of the same aggregate still waits, so this one cannot be next."""


@dataclass(frozen=True)
class Replayed:
    """What became of one letter."""

    id: UUID
    result: Replay
    error: str | None = None


@dataclass(frozen=True)
class Decision:
    """Who decided, when and why."""

    by: str
    at: datetime
    reason: str | None = None


COLUMNS: Final = ", ".join(DeadLetter.__dataclass_fields__)
LIST: Final = text(
    f"""
    SELECT {COLUMNS} FROM dead_letter
    WHERE (CAST(:consumer AS text) IS NULL OR consumer = :consumer)
      AND (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:aggregate_id AS uuid) IS NULL OR aggregate_id = :aggregate_id)
      AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :limit
    """
)
SELECTED: Final = text(
    """
    SELECT DISTINCT aggregate_id FROM dead_letter
    WHERE consumer = :consumer AND state = 'new' AND aggregate_id IS NOT NULL
      AND (id = ANY(CAST(:ids AS uuid[])) OR aggregate_id = :aggregate_id)
    ORDER BY aggregate_id
    """
)
LOCK_KEYS: Final = text(
    """
    SELECT 1 FROM parked_key WHERE consumer = :consumer AND aggregate_id = ANY(CAST(:keys AS uuid[]))
    ORDER BY aggregate_id FOR UPDATE
    """
)
WAITING: Final = text(
    f"""
    SELECT {COLUMNS} FROM dead_letter
    WHERE consumer = :consumer AND state = 'new'
      AND (id = ANY(CAST(:ids AS uuid[])) OR aggregate_id = ANY(CAST(:keys AS uuid[])))
    ORDER BY aggregate_id, aggregate_version, off, id FOR UPDATE
    """
)
DECIDE: Final = text(
    """
    UPDATE dead_letter SET state = :state, decided_by = :by, decided_at = :at, reason = :reason WHERE id = :id
    """
)
RECORD_FAILURE: Final = text(
    "UPDATE dead_letter SET tries = tries + 1, last_at = :at, error_class = :failure, error = :error WHERE id = :id"
)
UNPARK: Final = text(
    """
    DELETE FROM parked_key p WHERE consumer = :consumer AND aggregate_id = ANY(CAST(:keys AS uuid[]))
      AND NOT EXISTS (SELECT FROM dead_letter d WHERE d.consumer = p.consumer AND d.aggregate_id = p.aggregate_id
                                                  AND d.state = 'new')
    """
)


async def list_dead_letters(
    session: AsyncSession,
    *,
    consumer: str | None = None,
    state: str | None = "new",
    aggregate_id: UUID | None = None,
    after: UUID | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """Dead letters in the order they were set aside; `after` is the last id of the page before."""
    criteria = {
        "consumer": consumer,
        "state": state,
        "aggregate_id": aggregate_id,
        "after": after,
        "limit": limit,
    }
    return [_letter(row) for row in await session.execute(LIST, criteria)]


async def replay_dead_letters(
    session: AsyncSession,
    inbox: Inbox,
    decision: Decision,
    *,
    ids: Collection[UUID] = (),
    aggregate_id: UUID | None = None,
    dry_run: bool = False,
) -> list[Replayed]:
    """Apply letters of one consumer again, each aggregate in the order of its versions, in this transaction.

    Stops at an aggregate's first failure. An aggregate whose last letter is gone takes new events again.
    Call it again with the same letters: those already replayed are not touched. `NotYet` (`replaying`) while the
    projections are being filled from the archives.
    """
    if not await inbox.passes_gate(session):
        raise NotYet(
            "replaying", "This consumer is being replayed from the archives. Repeat it when that is done."
        )
    keys, letters = await _take(session, inbox.consumer, ids, aggregate_id)
    wanted = set(ids)
    results: list[Replayed] = []
    for key, group in groupby(letters, lambda letter: letter.aggregate_id or letter.id):
        queue = list(group)
        chosen = {letter.id for letter in queue if key == aggregate_id or letter.id in wanted}
        results += await _replay_queue(session, inbox, decision, queue, chosen, dry_run)
    await session.execute(UNPARK, {"consumer": inbox.consumer, "keys": keys})
    return results


async def discard_dead_letters(
    session: AsyncSession,
    consumer: str,
    decision: Decision,
    *,
    ids: Collection[UUID] = (),
    aggregate_id: UUID | None = None,
) -> list[UUID]:
    """Give letters up for good; returns those that were still waiting. Refuses `reason_required`."""
    if not (decision.reason or "").strip():
        raise Refused("reason_required", "say why these events may be lost to this consumer", "/reason")
    keys, letters = await _take(session, consumer, ids, aggregate_id)
    given_up = [
        x.id for x in letters if x.id in set(ids) or (aggregate_id and x.aggregate_id == aggregate_id)
    ]
    for letter_id in given_up:
        await _decide(session, letter_id, "discarded", decision)
    await session.execute(UNPARK, {"consumer": consumer, "keys": keys})
    return given_up


async def _take(
    session: AsyncSession, consumer: str, ids: Collection[UUID], aggregate_id: UUID | None
) -> tuple[list[UUID], list[DeadLetter]]:
    """Lock the aggregates first: until we commit, the consumer must not add letters behind our back."""
    choice: dict[str, Any] = {"consumer": consumer, "ids": list(ids), "aggregate_id": aggregate_id}
    keys = list((await session.execute(SELECTED, choice)).scalars())
    await session.execute(LOCK_KEYS, {"consumer": consumer, "keys": keys})
    rows = await session.execute(WAITING, {"consumer": consumer, "ids": list(ids), "keys": keys})
    return keys, [_letter(row) for row in rows]


async def _replay_queue(
    session: AsyncSession,
    inbox: Inbox,
    decision: Decision,
    queue: Sequence[DeadLetter],
    chosen: Collection[UUID],
    dry_run: bool,
) -> list[Replayed]:
    results: list[Replayed] = []
    blocked = False
    for letter in queue:
        if letter.id not in chosen:
            blocked = True
        elif blocked:
            results.append(Replayed(letter.id, Replay.BLOCKED))
        else:
            results.append(await _replay_one(session, inbox, decision, letter, dry_run))
            blocked = results[-1].result is Replay.FAILED
    return results


async def _replay_one(
    session: AsyncSession, inbox: Inbox, decision: Decision, letter: DeadLetter, dry_run: bool
) -> Replayed:
    """Try one letter between savepoints. An outage is not the letter's fault and ends the whole replay."""
    attempt = await session.begin_nested()
    try:
        await inbox.replay(session, letter.value)
    except Exception as error:
        failure = classify(error)
        if failure is Failure.INFRASTRUCTURE:
            raise
        await attempt.rollback()
        if not dry_run:
            await _record_failure(session, letter.id, decision.at, failure, error)
        return Replayed(letter.id, Replay.FAILED, f"{type(error).__name__}: {error}")
    if dry_run:
        await attempt.rollback()
        return Replayed(letter.id, Replay.WOULD_REPLAY)
    await attempt.commit()
    await _decide(session, letter.id, "replayed", decision)
    return Replayed(letter.id, Replay.REPLAYED)


async def _decide(session: AsyncSession, letter_id: UUID, state: str, decision: Decision) -> None:
    await session.execute(
        DECIDE,
        {"id": letter_id, "state": state, "by": decision.by, "at": decision.at, "reason": decision.reason},
    )


async def _record_failure(
    session: AsyncSession, letter_id: UUID, at: datetime, failure: Failure, error: Exception
) -> None:
    reason = storable(f"{type(error).__name__}: {error}")[:2000]
    await session.execute(
        RECORD_FAILURE, {"id": letter_id, "at": at, "failure": failure.value, "error": reason}
    )


def _letter(row: Any) -> DeadLetter:
    return DeadLetter(**row._mapping)
