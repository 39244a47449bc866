"""The engine: opens reviews, reminds, takes what each party determines, and opens the next one or none.

A service has one `Reviews`, which names its tables and has a `Subject` for each kind of thing it reviews.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from shared.calendars.zones import day_in
from shared.contracts.base import Event
from shared.data.history import Act, record
from shared.data.session import inherited, load, load_for_update
from shared.pure.refusal import Missing, Refused, Stale
from shared.reviews.domain import (
    ENDED,
    OVERDUE,
    REVIEW,
    Determination,
    ReviewAction,
    ReviewState,
    SubjectKind,
    Term,
    deadline,
    next_due,
    required_signers,
    steps,
)
from shared.reviews.schemas import ReviewDetermine
from shared.reviews.tables import Reviewed, ReviewRow, StatementRow
from shared.runtime.due import Kind, Step, clear, schedule
from shared.web.authz import SYSTEM, Action, Actor, Principal, require

S = TypeVar("S", bound=Reviewed)
R = TypeVar("R", bound=ReviewRow)


@dataclass(frozen=True)
class Subject(Generic[S]):
    """What the engine has to know about a kind of thing that is reviewed.

    `end` begins what `terminate` asks for, where a state of the subject says so; `cancelled` is None for what has no
    last day.
    """

    model: type[S]
    term: Callable[[AsyncSession, S], Awaitable[Term]]
    due_soon: Callable[[S, date, int], Event]
    overdue: Callable[[S, date], Event]
    determined: Callable[[S, Determination, datetime], Event]
    cancelled: Callable[[S, date], Event] | None = None
    end: Callable[[S], None] = lambda row: None


class Reviews(Generic[R]):
    """The reviews of one service. `name` begins the names of its acts and of what is due."""

    def __init__(
        self,
        name: str,
        review: type[R],
        statement: type[StatementRow],
        policy: Action,
        subjects: Mapping[SubjectKind, Subject[Any]],
    ) -> None:
        self.name = name
        self.review = review
        self._statement = statement
        self.policy = policy
        self._subjects = subjects

    @property
    def due(self) -> Kind[R]:
        """What the service's `app.py` lists among what falls due."""
        return Kind(self.name, self.review, self.step)

    async def open(
        self, session: AsyncSession, kind: SubjectKind, row: Reviewed, zone: str, now: datetime
    ) -> R:
        """Open the next review with its reminders. However late its subject began, the newest comes at once."""
        review = self.review(
            **inherited(row, now),
            version=1,
            subject_kind=kind,
            subject_id=row.id,
            due=row.next_review_due,
            zone=zone,
            state=ReviewState.open,
            raised=[],
        )
        session.add(review)
        moments = steps(review.due, zone, await self._subjects[kind].term(session, row))
        await schedule(session, self.name, review, deadline(review.due, zone), moments)
        await session.flush()
        return review

    async def current(self, session: AsyncSession, kind: SubjectKind, subject_id: UUID) -> R:
        """The running review of a subject the caller may see; when none runs, how the last one ended."""
        await load(session, self._subjects[kind].model, subject_id)
        return await self._newest(session, subject_id)

    async def determine(
        self,
        session: AsyncSession,
        caller: Principal,
        kind: SubjectKind,
        subject_id: UUID,
        form: ReviewDetermine,
        expected: int,
        now: datetime,
    ) -> R:
        """State one party's outcome. When all that must have stated the same, the review closes.

        Refuses `outcomes_differ` while the other party has determined something else.
        """
        seen = await load(session, self._subjects[kind].model, subject_id)
        require(caller, self.policy, seen.scope)
        review = await self._newest(session, subject_id, for_update=True)
        if review.version != expected:
            raise Stale
        closed = REVIEW.next(review.state, ReviewAction.close)
        await self._state(session, caller, review, form, now)
        # One party's word is on record but is no event yet: nothing is determined until all have said it.
        detail = {"outcome": form.outcome, "rationale": form.rationale}
        await record(session, review, Act(self.policy.name, detail=detail), by=caller, now=now)
        await session.refresh(review, ["statements"])
        if {statement.party for statement in review.statements} >= {
            party for party, _ in required_signers(kind)
        }:
            review.state, review.outcome, review.determined_at = closed, form.outcome, now
            await self._conclude(session, caller, review, form.outcome, now)
        return review

    async def step(self, session: AsyncSession, review: R, step: Step, now: datetime) -> None:
        """Give a reminder, say that the review is overdue, or cancel it because its subject has ended."""
        subject = self._subjects[review.subject_kind]
        row = await load_for_update(session, subject.model, review.subject_id, None)
        if step.name == ENDED:
            review.state = REVIEW.next(review.state, ReviewAction.cancel)
        else:
            review.raised = [*review.raised, step.name]
        review.version += 1
        review.updated_at = now
        event = self._event(subject, row, review, step.name, now)
        await record(session, row, Act(f"{self.name}.{step.name}", event), by=SYSTEM, now=now)

    def _event(self, subject: Subject[S], row: S, review: R, step: str, now: datetime) -> Event:
        if step == ENDED:
            assert subject.cancelled is not None  # only what has a last day is given this step
            return subject.cancelled(row, review.due)
        if step == OVERDUE:
            return subject.overdue(row, review.due)
        return subject.due_soon(row, review.due, (review.due - day_in(review.zone, now)).days)

    async def _newest(self, session: AsyncSession, subject_id: UUID, *, for_update: bool = False) -> R:
        newest = (
            select(self.review)
            .where(self.review.subject_id == subject_id)
            .order_by(self.review.id.desc())
            .limit(1)
            .execution_options(populate_existing=True)
        )
        row = (await session.scalars(newest.with_for_update() if for_update else newest)).one_or_none()
        if row is None:
            raise Missing("review")
        return row

    async def _state(
        self, session: AsyncSession, caller: Principal, review: R, form: ReviewDetermine, now: datetime
    ) -> None:
        party = caller.party(review.scope)
        assert party is not None  # the policy lets parties through, and nobody else
        stated = {statement.party: statement for statement in review.statements}
        _require_agreement(stated.get(party.other), form.outcome)
        statement = stated.get(party) or self._statement(
            **inherited(review, now), version=1, review_id=review.id, party=party
        )
        statement.outcome, statement.rationale = form.outcome, form.rationale
        statement.member_id, statement.display_name = caller.member_id, caller.display_name
        statement.updated_at = now
        session.add(statement)

    async def _conclude(
        self, session: AsyncSession, by: Actor, review: R, outcome: Determination, now: datetime
    ) -> None:
        """What follows from a determination for the subject: its end, or its next review."""
        await clear(session, self.name, review)
        subject = self._subjects[review.subject_kind]
        row = await load_for_update(session, subject.model, review.subject_id, None)
        if outcome.ends_the_subject:
            subject.end(row)
        else:
            term = await subject.term(session, row)
            row.next_review_due = next_due(day_in(review.zone, now), review.due, term)
        event = subject.determined(row, outcome, now)
        await record(session, row, Act(f"{self.name}.close", event), by=by, now=now)
        if not outcome.ends_the_subject:
            await self.open(session, review.subject_kind, row, review.zone, now)


def _require_agreement(other: StatementRow | None, outcome: Determination) -> None:
    if other is not None and other.outcome is not outcome:
        message = (
            f"The {other.party} determined {other.outcome}; agree on one outcome, or wait until it changes."
        )
        raise Refused("outcomes_differ", message, "/outcome")
