"""The yearly reviews of agreements and SLAs (M3 R5): their clock, and the customer's determination."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.agreements.models import Agreement
from services.sla.reviews import policy, queries
from services.sla.reviews.models import Review
from services.sla.reviews.schemas import ReviewDetermine
from services.sla.slas.models import Sla
from shared.calendars.fiscal import day_in
from shared.contracts.base import Event
from shared.contracts.sla import (
    AgreementReviewDetermined,
    AgreementReviewDueSoon,
    AgreementReviewOverdue,
    SlaReviewDetermined,
    SlaReviewDueSoon,
    SlaReviewOverdue,
)
from shared.data.history import Act, record
from shared.data.session import inherited, load, load_for_update
from shared.pure.refusal import Stale
from shared.reviews.domain import (
    OVERDUE,
    Determination,
    ReviewState,
    SubjectKind,
    deadline,
    next_due,
    steps,
)
from shared.runtime.due import Step, clear, schedule
from shared.web.authz import SYSTEM, Principal, require

Subject = Agreement | Sla
REVIEW = "review"


@dataclass(frozen=True)
class _Events:
    """The events of one kind of subject."""

    model: type[Agreement] | type[Sla]
    due_soon: Callable[[Subject, date, int], Event]
    overdue: Callable[[Subject, date], Event]
    determined: Callable[[Subject, Determination, datetime], Event]


_EVENTS: dict[SubjectKind, _Events] = {
    SubjectKind.agreement: _Events(
        model=Agreement,
        due_soon=lambda row, due, left: AgreementReviewDueSoon(
            agreement_id=row.id, title=row.title, due=due, days_left=left
        ),
        overdue=lambda row, due: AgreementReviewOverdue(agreement_id=row.id, title=row.title, due=due),
        determined=lambda row, outcome, now: AgreementReviewDetermined(
            agreement_id=row.id,
            outcome=outcome.value,
            determined_at=now,
            next_review_due=row.next_review_due,
        ),
    ),
    SubjectKind.sla: _Events(
        model=Sla,
        due_soon=lambda row, due, left: SlaReviewDueSoon(
            sla_id=row.id, title=row.title, due=due, days_left=left
        ),
        overdue=lambda row, due: SlaReviewOverdue(sla_id=row.id, title=row.title, due=due),
        determined=lambda row, outcome, now: SlaReviewDetermined(
            sla_id=row.id, outcome=outcome.value, determined_at=now, next_review_due=row.next_review_due
        ),
    ),
}


async def open_review(
    session: AsyncSession, kind: SubjectKind, subject: Subject, zone: str, now: datetime
) -> Review:
    """Schedule the next review with its reminders. However late its subject began, the newest comes at once."""
    review = Review(
        **inherited(subject, now),
        subject_kind=kind,
        subject_id=subject.id,
        due=subject.next_review_due,
        zone=zone,
        state=ReviewState.open,
        raised=[],
        rationale="",
    )
    session.add(review)
    await schedule(session, REVIEW, review, deadline(review.due, zone), steps(review.due, zone))
    return review


async def current(session: AsyncSession, kind: SubjectKind, subject_id: UUID) -> Review:
    """The running review of a subject the caller may see."""
    await load(session, _EVENTS[kind].model, subject_id)
    return await queries.open_review(session, subject_id)


async def determine(
    session: AsyncSession,
    caller: Principal,
    kind: SubjectKind,
    subject_id: UUID,
    form: ReviewDetermine,
    expected: int,
    now: datetime,
) -> Review:
    """Close the review with the customer's outcome and open the next one; the answer is the closed one."""
    events = _EVENTS[kind]
    seen: Subject = await load(session, events.model, subject_id)
    require(caller, policy.DETERMINE_REVIEW, seen.scope)
    review = await queries.open_review(session, subject_id, for_update=True)
    if review.version != expected:
        raise Stale
    review.state = ReviewState.closed
    await clear(session, REVIEW, review)
    review.outcome, review.rationale = form.outcome, form.rationale
    review.determined_at, review.determined_by = now, caller.member_id
    review.determiner_name = caller.display_name
    detail = {"outcome": form.outcome, "rationale": form.rationale}
    action = policy.DETERMINE_REVIEW.name
    await record(session, review, Act(action, detail=detail), by=caller, now=now)
    subject: Subject = await load_for_update(session, events.model, subject_id, None)
    subject.next_review_due = next_due(day_in(review.zone, now))
    event = events.determined(subject, form.outcome, now)
    await record(session, subject, Act(action, event), by=caller, now=now)
    await open_review(session, kind, subject, review.zone, now)
    await session.flush()
    return review


async def remind(session: AsyncSession, review: Review, step: Step, now: datetime) -> None:
    """Give a reminder, or say that the review is overdue."""
    events = _EVENTS[review.subject_kind]
    subject: Subject = await load_for_update(session, events.model, review.subject_id, None)
    left = (review.due - day_in(review.zone, now)).days
    overdue = step.name == OVERDUE
    event = events.overdue(subject, review.due) if overdue else events.due_soon(subject, review.due, left)
    review.raised = [*review.raised, step.name]
    review.version += 1
    review.updated_at = now
    await record(session, subject, Act(f"review.{step.name}", event), by=SYSTEM, now=now)
