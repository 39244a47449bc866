"""Routes for the operator of a service: messages set aside and deadlines postponed, and what to do with them, audited.

Operators are platform administrators. They see where a message or a deadline belongs and why it failed, not what
it says: the parties' data stay theirs.
"""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field, StrictBool, model_validator
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit.rows import write_audit
from shared.contracts.base import Scope
from shared.data.ids import uuid7
from shared.data.session import Session
from shared.messaging.dead_letters import (
    DeadLetter,
    Decision,
    Replay,
    discard_dead_letters,
    list_dead_letters,
    replay_dead_letters,
)
from shared.messaging.inbox import Inbox
from shared.pure.refusal import Missing, Refused
from shared.runtime.clock import Now
from shared.runtime.postponed import list_due, retry_due
from shared.web.auth import allow
from shared.web.authz import Action, Principal
from shared.web.filters import AfterId
from shared.web.schemas import In, Needed, Out, Text

READ = Action("operations.read", roles=frozenset(), sysadmin=True)
DECIDE = Action("operations.decide", roles=frozenset(), sysadmin=True)
MOST = 1000
Operator = Annotated[Principal, allow(DECIDE)]
Reader = Annotated[Principal, allow(READ)]


class DeadLetterOut(Out):
    """A message that was set aside. Its content is not shown; its place and the reason are."""

    id: UUID
    consumer: str
    event_id: UUID | None
    event_type: str | None
    aggregate_id: UUID | None
    aggregate_version: int | None
    topic: str
    partition: int
    offset: int
    size: int
    error_class: str
    error: str
    first_at: datetime
    last_at: datetime
    tries: int
    state: Literal["new", "replayed", "discarded"]
    decided_by: str | None
    decided_at: datetime | None
    reason: str | None


class DeadLetterPage(Out):
    """Dead letters in the order they were set aside."""

    items: list[DeadLetterOut]
    next_cursor: UUID | None


class Selection(In):
    """Which letters: some by id, or every waiting letter of one aggregate."""

    ids: Annotated[list[UUID], Field(max_length=MOST)] = Field(default_factory=list)
    aggregate_id: UUID | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.ids and self.aggregate_id is None:
            raise ValueError("name ids or an aggregate_id")
        return self


class ReplayRequest(Selection):
    dry_run: StrictBool = False


class DiscardRequest(Selection):
    reason: Needed


class ReplayedOut(Out):
    id: UUID
    result: Replay
    error: str | None


class ReplayResult(Out):
    """What became of each letter; `blocked` ones wait for an earlier letter of their aggregate."""

    items: list[ReplayedOut]


class DiscardResult(Out):
    """The letters that were given up."""

    ids: list[UUID]


class DueOut(Out):
    """A deadline, a reminder, or what takes effect on its day. Failed ones are tried again at `wakes_at`."""

    id: UUID
    kind: str
    subject_type: str
    subject_id: UUID
    due_at: datetime
    wakes_at: datetime
    attempts: int
    last_error: str | None


class DuePage(Out):
    """Deadlines in the order they were first set."""

    items: list[DueOut]
    next_cursor: UUID | None


class RetryRequest(In):
    """Which postponed ones: some by id, or all of one kind."""

    ids: Annotated[list[UUID], Field(max_length=MOST)] = Field(default_factory=list)
    kind: Text | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.ids and self.kind is None:
            raise ValueError("name ids or a kind")
        return self


class RetryResult(Out):
    """Those that were postponed and are tried at once."""

    ids: list[UUID]


def _consumer(request: Request) -> str:
    """The name under which the service reads the bus, and sets messages aside."""
    return f"concordat-{request.app.state.kernel.info.name}"


Consumer = Annotated[str, Depends(_consumer)]


async def list_dead_letters_of_service(
    session: Session,
    caller: Reader,
    consumer: Consumer,
    state: Literal["new", "replayed", "discarded"] = "new",
    aggregate_id: Annotated[UUID | SkipJsonSchema[None], Query()] = None,
    cursor: AfterId = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> DeadLetterPage:
    await _as_operator(session)
    letters = await list_dead_letters(
        session, consumer=consumer, state=state, aggregate_id=aggregate_id, after=cursor, limit=limit + 1
    )
    shown = [_shown(letter) for letter in letters[:limit]]
    return DeadLetterPage(items=shown, next_cursor=shown[-1].id if len(letters) > limit else None)


async def get_dead_letter(
    dead_letter_id: UUID, session: Session, caller: Reader, consumer: Consumer
) -> DeadLetterOut:
    await _as_operator(session)
    before = UUID(int=dead_letter_id.int - 1) if dead_letter_id.int else None
    letters = await list_dead_letters(session, consumer=consumer, state=None, after=before, limit=1)
    if not letters or letters[0].id != dead_letter_id:
        raise Missing("dead letter")
    return _shown(letters[0])


async def replay_dead_letters_of_service(
    form: ReplayRequest, request: Request, session: Session, now: Now, caller: Operator
) -> ReplayResult:
    await _as_operator(session)
    decision = Decision(by=f"{caller.issuer}|{caller.subject}", at=now)
    results = await replay_dead_letters(
        session,
        _inbox(request),
        decision,
        ids=form.ids,
        aggregate_id=form.aggregate_id,
        dry_run=form.dry_run,
    )
    if not form.dry_run:
        await _audit(session, caller, "dead_letter.replay", "dead_letter", form, now)
    return ReplayResult(items=[ReplayedOut.model_validate(result) for result in results])


async def discard_dead_letters_of_service(
    form: DiscardRequest, session: Session, now: Now, caller: Operator, consumer: Consumer
) -> DiscardResult:
    await _as_operator(session)
    decision = Decision(by=f"{caller.issuer}|{caller.subject}", at=now, reason=form.reason)
    ids = await discard_dead_letters(
        session, consumer, decision, ids=form.ids, aggregate_id=form.aggregate_id
    )
    await _audit(session, caller, "dead_letter.discard", "dead_letter", form, now)
    return DiscardResult(ids=ids)


async def list_due_of_service(
    session: Session,
    caller: Reader,
    state: Literal["postponed", "waiting"] = "postponed",
    kind: Annotated[Text | SkipJsonSchema[None], Query()] = None,
    cursor: AfterId = None,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 50,
) -> DuePage:
    """What failed when it was due and waits to be tried again; or what waits for its moment."""
    await _as_operator(session)
    rows = await list_due(session, postponed=state == "postponed", kind=kind, after=cursor, limit=limit + 1)
    shown = [DueOut.model_validate(row) for row in rows[:limit]]
    return DuePage(items=shown, next_cursor=shown[-1].id if len(rows) > limit else None)


async def retry_due_of_service(
    form: RetryRequest, session: Session, now: Now, caller: Operator
) -> RetryResult:
    """Try postponed ones at once, after their cause was corrected."""
    await _as_operator(session)
    ids = await retry_due(session, now, ids=form.ids, kind=form.kind)
    await _audit(session, caller, "due.retry", "due", form, now)
    return RetryResult(ids=ids)


def operations_router(router: APIRouter) -> APIRouter:
    """Add the operator's routes of one service to its router."""
    router.get("/dead_letters")(list_dead_letters_of_service)
    router.get("/dead_letters/{dead_letter_id}")(get_dead_letter)
    router.post("/dead_letters/replay")(replay_dead_letters_of_service)
    router.post("/dead_letters/discard")(discard_dead_letters_of_service)
    router.get("/due")(list_due_of_service)
    router.post("/due/retry")(retry_due_of_service)
    return router


async def _as_operator(session: AsyncSession) -> None:
    """Such rows are nobody's to read but the service's own."""
    await session.execute(text("SELECT set_config('app.scope', 'system', true)"))


def _inbox(request: Request) -> Inbox:
    consumer = request.app.state.kernel.consumer
    if consumer is None:
        raise Refused("no_consumer", "This service listens to nobody, so there is nothing to replay.")
    inbox: Inbox = consumer.inbox
    return inbox


def _shown(letter: DeadLetter) -> DeadLetterOut:
    return DeadLetterOut(
        **{name: getattr(letter, name) for name in DeadLetterOut.model_fields if hasattr(letter, name)},
        partition=letter.part,
        offset=letter.off,
        size=len(letter.value or b""),
    )


async def _audit(
    session: AsyncSession, caller: Principal, action: str, kind: str, form: In, now: datetime
) -> None:
    await write_audit(
        session,
        by=caller,
        action=action,
        object_type=kind,
        object_id=uuid7(),
        object_version=1,
        scope=Scope(),
        now=now,
        detail=form.model_dump(mode="json"),
    )
