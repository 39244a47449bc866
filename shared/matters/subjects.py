"""What a feature says about its kind of subject, and what it may do: put it, withdraw it, say that it changed.

The answers come by event. `answers` makes the projection of a service's subjects for its `app.py`; a decision is carried
out once, and only on the text it was taken on. See `shared/contracts/matters.py` for the protocol.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Event, Received
from shared.contracts.changes import (
    MatterDecided,
    MatterFact,
    MatterRefused,
    MatterWithdrawn,
    MatterWithdrawRefused,
)
from shared.contracts.governance import Party, Severity
from shared.contracts.matters import (
    MatterOutcomeNotApplied,
    MatterPut,
    MatterSubjectChanged,
    MatterWithdrawAsked,
)
from shared.data.history import Act, record
from shared.data.session import Governed, inherited, load_for_update
from shared.matters.models import AwaitedMatter
from shared.matters.states import AWAITED, WAITING, AwaitedAction, AwaitedMatterState
from shared.messaging.projections import Projection
from shared.pure.hashing import sha256_hex
from shared.pure.refusal import Refused
from shared.web.authz import SYSTEM, Actor, Principal

S = TypeVar("S", bound=Governed)
F = TypeVar("F", bound=MatterFact)
Reason = Literal["subject_changed", "no_longer_waiting"]


@dataclass(frozen=True, kw_only=True)
class Described:
    """A subject as it is now. `text` is what is decided upon, in the bytes that are stored; `impact` gives amounts and
    levels, as text, by the dimensions of the charter."""

    number: str
    title: str
    text: bytes
    text_format: int
    impact: Mapping[str, str]
    severity: Severity


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a body is asked. Without `charter_version` the charter in force counts when it is put; `requested_body` asks
    for a higher body than the competent one and needs a `reason_code`."""

    decision_class: str
    question: str
    origin: Party
    charter_version: int | None = None
    requested_body: str | None = None
    reason_code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Subject(Generic[S]):
    """A kind of subject. Its feature locks the row before it calls `put`, `withdraw` or `changed`.

    `waits`: whether the row itself still waits for a decision. `apply`, `refused` and `withdrawn` carry out an answer on
    the locked row, in the transaction of the message; a refusal or a withdrawal reaches only a row that waits.
    """

    kind: str
    model: type[S]
    describe: Callable[[S], Described]
    waits: Callable[[S], bool]
    apply: Callable[[AsyncSession, S, MatterDecided, datetime], Awaitable[None]]
    refused: Callable[[AsyncSession, S, MatterRefused, datetime], Awaitable[None]]
    withdrawn: Callable[[AsyncSession, S, str, datetime], Awaitable[None]]

    async def put(
        self, session: AsyncSession, row: S, question: Question, *, by: Actor, now: datetime
    ) -> UUID:
        """Put the row to a body; the id of its matter. Refuses `already_waiting`, and `not_shared` for a row that one
        party may not see. Whether a body takes it is answered later: `refused` is called if none does."""
        await _check_free(session, row)
        described = self.describe(row)
        matter = self._new(row, question, described, now)
        session.add(matter)
        event = MatterPut(
            **_fact(matter, described),
            **vars(question),
            requester_id=by.member_id if isinstance(by, Principal) else None,
            requester_name=by.display_name,
        )
        await record(session, matter, _step(matter, event, "matter.put"), by=by, now=now)
        return matter.id

    async def withdraw(self, session: AsyncSession, row: S, reason: str, *, by: Actor, now: datetime) -> None:
        """Ask for the matter back. Until `withdrawn` is called, a decision may still come, and counts."""
        matter = await _waiting(session, row)
        if matter is None:
            raise Refused("nothing_to_withdraw", "It waits for no decision, so there is nothing to withdraw.")
        matter.state = AWAITED.next(matter.state, AwaitedAction.withdraw)
        event = MatterWithdrawAsked(
            matter_id=matter.id, subject_kind=self.kind, subject_id=row.id, reason=reason
        )
        await record(session, matter, _step(matter, event, "matter.withdraw", reason), by=by, now=now)

    async def changed(
        self, session: AsyncSession, row: S, what_changed: str, *, by: Actor, now: datetime
    ) -> None:
        """The row's text, impact or severity changed: the votes start anew. Does nothing while no body has it."""
        matter = await _waiting(session, row)
        if matter is None or AwaitedAction.change not in AWAITED.allowed(matter.state):
            return
        described = self.describe(row)
        _keep_text(matter, described)
        event = MatterSubjectChanged(**_fact(matter, described), what_changed=what_changed)
        await record(session, matter, _step(matter, event, "matter.change", what_changed), by=by, now=now)

    async def on_decided(self, session: AsyncSession, event: MatterDecided, now: datetime) -> None:
        """Carry the decision out, or say why not. A decision that comes again was dealt with."""
        row, matter = await self._locked(session, event)
        if matter.decision_id == event.decision_id:
            return
        matter.decision_id = event.decision_id
        if reason := self._why_not(row, matter, event):
            await self._send_back(session, row, matter, event, reason, now)
            return
        _keep_text(matter, self.describe(row))
        matter.state, matter.outcome = AWAITED.next(matter.state, AwaitedAction.apply), event.outcome
        note = f"{event.decision_number}: {event.outcome}"
        await record(session, matter, _step(matter, None, "matter.apply", note), by=SYSTEM, now=now)
        await self.apply(session, row, event, now)

    async def on_refused(self, session: AsyncSession, event: MatterRefused, now: datetime) -> None:
        row, matter = await self._locked(session, event)
        if matter.state not in WAITING:
            return
        matter.state = AWAITED.next(matter.state, AwaitedAction.refuse)
        note = f"{event.code}: {event.message}"
        await record(session, matter, _step(matter, None, "matter.refuse", note), by=SYSTEM, now=now)
        if self.waits(row):
            await self.refused(session, row, event, now)

    async def on_withdrawn(self, session: AsyncSession, event: MatterWithdrawn, now: datetime) -> None:
        row, matter = await self._locked(session, event)
        if matter.state in WAITING:
            await self._end(
                session, row, matter, AwaitedAction.confirm_withdrawal, "matter.withdrawn", event.reason, now
            )

    async def on_withdraw_refused(
        self, session: AsyncSession, event: MatterWithdrawRefused, now: datetime
    ) -> None:
        """The withdrawal came too late. Mostly its cause came before: the decision, or the refusal."""
        _, matter = await self._locked(session, event)
        if matter.state is AwaitedMatterState.withdrawing:
            matter.state = AWAITED.next(matter.state, AwaitedAction.refuse_withdrawal)
        act = _step(matter, None, "matter.withdraw_refused", event.code)
        await record(session, matter, act, by=SYSTEM, now=now)

    def _new(self, row: S, question: Question, described: Described, now: datetime) -> AwaitedMatter:
        matter = AwaitedMatter(
            **inherited(row, now),
            subject_kind=self.kind,
            subject_id=row.id,
            decision_class=question.decision_class,
            state=AwaitedMatterState.waiting,
        )
        _keep_text(matter, described)
        return matter

    async def _locked(self, session: AsyncSession, event: MatterFact) -> tuple[S, AwaitedMatter]:
        """The subject and its matter, locked in the order in which a person's act locks them."""
        row = await load_for_update(session, self.model, event.subject_id, None)
        return row, await load_for_update(session, AwaitedMatter, event.matter_id, None)

    def _why_not(self, row: S, matter: AwaitedMatter, event: MatterDecided) -> Reason | None:
        if matter.state not in WAITING or not self.waits(row):
            return "no_longer_waiting"
        return None if sha256_hex(self.describe(row).text) == event.subject_hash else "subject_changed"

    async def _send_back(
        self,
        session: AsyncSession,
        row: S,
        matter: AwaitedMatter,
        event: MatterDecided,
        reason: Reason,
        now: datetime,
    ) -> None:
        """The decision is not carried out. Who wanted to withdraw need not wait for another one."""
        waits = AwaitedAction.send_back in AWAITED.allowed(matter.state) and self.waits(row)
        described = self.describe(row)
        if waits:
            _keep_text(matter, described)
        answer = MatterOutcomeNotApplied(
            **_fact(matter, described), decision_id=event.decision_id, reason=reason, waits=waits
        )
        act = _step(matter, answer, "matter.send_back", f"{event.decision_number}: {reason}")
        await record(session, matter, act, by=SYSTEM, now=now)
        if matter.state in WAITING and not waits:
            await self._end(session, row, matter, AwaitedAction.lapse, "matter.lapse", reason, now)

    async def _end(
        self,
        session: AsyncSession,
        row: S,
        matter: AwaitedMatter,
        action: AwaitedAction,
        name: str,
        reason: str,
        now: datetime,
    ) -> None:
        matter.state = AWAITED.next(matter.state, action)
        await record(session, matter, _step(matter, None, name, reason), by=SYSTEM, now=now)
        if self.waits(row):
            await self.withdrawn(session, row, reason, now)


def answers(*subjects: Subject[Any]) -> Projection:
    """What a service does about the answers to what its subjects have put. Matters of other subjects are not its own."""
    by_kind = {subject.kind: subject for subject in subjects}

    def handler(
        take: Callable[[Subject[Any], AsyncSession, F, datetime], Awaitable[None]],
    ) -> Callable[[AsyncSession, Received[F], datetime], Awaitable[None]]:
        async def handle(session: AsyncSession, received: Received[F], now: datetime) -> None:
            if subject := by_kind.get(received.event.subject_kind):
                await take(subject, session, received.event, now)

        return handle

    return Projection(
        "awaited_matters",
        {
            MatterDecided: handler(Subject.on_decided),
            MatterRefused: handler(Subject.on_refused),
            MatterWithdrawn: handler(Subject.on_withdrawn),
            MatterWithdrawRefused: handler(Subject.on_withdraw_refused),
        },
    )


async def _check_free(session: AsyncSession, row: Governed) -> None:
    if row.visibility != "shared":
        raise Refused("not_shared", "Both parties decide, so share it with both before it is put to a body.")
    if await _waiting(session, row):
        raise Refused("already_waiting", "It waits for a decision already; withdraw it first.")


async def _waiting(session: AsyncSession, row: Governed) -> AwaitedMatter | None:
    """The matter that the row waits for, locked; there is at most one."""
    result = await session.scalars(
        select(AwaitedMatter)
        .where(AwaitedMatter.subject_id == row.id, AwaitedMatter.state.in_(WAITING))
        .with_for_update()
    )
    return result.one_or_none()


def _keep_text(matter: AwaitedMatter, described: Described) -> None:
    matter.text, matter.text_format = described.text, described.text_format
    matter.content_hash = sha256_hex(described.text)


def _fact(matter: AwaitedMatter, described: Described) -> dict[str, Any]:
    """The fields that every event about the subject begins with."""
    return {
        "matter_id": matter.id,
        "subject_kind": matter.subject_kind,
        "subject_id": matter.subject_id,
        "subject_number": described.number,
        "title": described.title,
        "subject_hash": matter.content_hash,
        "impact": dict(described.impact),
        "severity": described.severity,
    }


def _step(matter: AwaitedMatter, event: Event | None, action: str, note: str = "") -> Act:
    return Act(action, event, {"state": matter.state, "note": note})
