"""The yearly review of a charter (M3 R3): its clock, and the determination both parties make."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from services.charter.charters.models import Charter
from services.charter.reviews import policy, queries
from services.charter.reviews.models import CharterReview, ReviewStatement
from services.charter.reviews.schemas import ReviewDetermine
from shared.calendars.fiscal import day_in
from shared.contracts.base import Event
from shared.contracts.charter import CharterReviewDetermined, CharterReviewDueSoon, CharterReviewOverdue
from shared.contracts.governance import Party
from shared.data.history import Act, record
from shared.data.session import inherited, load_for_update
from shared.pure.refusal import Refused, Stale
from shared.reviews.domain import OVERDUE, Determination, ReviewState, deadline, next_due, steps
from shared.runtime.due import Step, clear, schedule
from shared.web.authz import SYSTEM, Principal, require

REVIEW = "charter.review"


async def schedule_review(session: AsyncSession, charter: Charter, zone: str, now: datetime) -> CharterReview:
    """Schedule the next review with its reminders. However late the charter began, the newest comes at once."""
    review = CharterReview(
        **inherited(charter, now),
        version=1,
        due=charter.next_review_due,
        zone=zone,
        state=ReviewState.open,
        raised=[],
    )
    session.add(review)
    await schedule(session, REVIEW, review, deadline(review.due, zone), steps(review.due, zone))
    return review


async def current(session: AsyncSession, charter_id: UUID) -> CharterReview:
    """The open review with what each party has determined so far."""
    return await _with_statements(session, await queries.open_review(session, charter_id))


async def _with_statements(session: AsyncSession, review: CharterReview) -> CharterReview:
    found = await queries.statements(session, review)
    set_committed_value(review, "statements", [found[party] for party in Party if party in found])
    return review


async def determine(
    session: AsyncSession,
    caller: Principal,
    charter_id: UUID,
    form: ReviewDetermine,
    expected: int,
    now: datetime,
) -> CharterReview:
    """State one party's outcome; the same outcome from both closes the review and sets the next one.

    Refuses `outcomes_differ` while the other party has determined something else.
    """
    review = await queries.open_review(session, charter_id, for_update=True)
    require(caller, policy.DETERMINE_REVIEW, review.scope)
    if review.version != expected:
        raise Stale
    party = caller.party(review.scope)
    assert party is not None  # the policy lets both parties through, and nobody else
    stated = await queries.statements(session, review)
    _require_agreement(party, form, stated)
    _state(session, caller, review, stated.get(party), party, form, now)
    # One party's word is on record but is no event yet: nothing is determined until both agree.
    detail = {"outcome": form.outcome, "rationale": form.rationale}
    action = policy.DETERMINE_REVIEW.name
    await record(session, review, Act(action, detail=detail), by=caller, now=now)
    if party.other in stated:
        await _close(session, caller, review, form.outcome, now)
    return await _with_statements(session, review)


def _require_agreement(party: Party, form: ReviewDetermine, stated: Mapping[Party, ReviewStatement]) -> None:
    other = stated.get(party.other)
    if other is not None and other.outcome != form.outcome:
        message = (
            f"The {other.party} determined {other.outcome}; agree on one outcome, or wait until it changes."
        )
        raise Refused("outcomes_differ", message, "/outcome")


def _state(
    session: AsyncSession,
    caller: Principal,
    review: CharterReview,
    earlier: ReviewStatement | None,
    party: Party,
    form: ReviewDetermine,
    now: datetime,
) -> None:
    row = earlier or ReviewStatement(**inherited(review, now), version=1, review_id=review.id, party=party)
    row.outcome = form.outcome
    row.rationale = form.rationale
    row.member_id = caller.member_id
    row.updated_at = now
    session.add(row)


async def _close(
    session: AsyncSession, caller: Principal, review: CharterReview, outcome: Determination, now: datetime
) -> None:
    review.state = ReviewState.closed
    review.outcome = outcome
    review.determined_at = now
    await clear(session, REVIEW, review)
    charter = await load_for_update(session, Charter, review.charter_id, None)
    charter.next_review_due = next_due(day_in(review.zone, now))
    event = CharterReviewDetermined(
        charter_id=charter.id,
        outcome=outcome.value,
        determined_at=now,
        next_review_due=charter.next_review_due,
    )
    await record(session, charter, Act("charter.review.close", event), by=caller, now=now)
    await schedule_review(session, charter, review.zone, now)
    await session.flush()


async def remind(session: AsyncSession, review: CharterReview, step: Step, now: datetime) -> None:
    """Give a reminder, or say that the review is overdue."""
    charter = await load_for_update(session, Charter, review.charter_id, None)
    event: Event
    if step.name == OVERDUE:
        event = CharterReviewOverdue(charter_id=charter.id, title=charter.title, due=review.due)
    else:
        left = (review.due - day_in(review.zone, now)).days
        event = CharterReviewDueSoon(
            charter_id=charter.id, title=charter.title, due=review.due, days_left=left
        )
    review.raised = [*review.raised, step.name]
    review.version += 1
    review.updated_at = now
    await record(session, charter, Act(f"charter.review.{step.name}", event), by=SYSTEM, now=now)
