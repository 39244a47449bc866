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
from shared.reviews.domain import OVERDUE, Determination, ReviewState, clock_events, next_due, wakes_at
from shared.web.authz import SYSTEM, Principal, require


def schedule_review(session: AsyncSession, charter: Charter, zone: str, now: datetime) -> CharterReview:
    """Schedule the next review. Its clock is looked at once right away, however late the charter began."""
    review = CharterReview(
        **inherited(charter, now),
        version=1,
        due=charter.next_review_due,
        zone=zone,
        state=ReviewState.open,
        raised=[],
        wakes_at=now,
    )
    session.add(review)
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
    review.wakes_at = None
    charter = await load_for_update(session, Charter, review.charter_id, None)
    charter.next_review_due = next_due(day_in(review.zone, now))
    event = CharterReviewDetermined(
        charter_id=charter.id,
        outcome=outcome.value,
        determined_at=now,
        next_review_due=charter.next_review_due,
    )
    await record(session, charter, Act("charter.review.close", event), by=caller, now=now)
    schedule_review(session, charter, review.zone, now)
    await session.flush()


async def raise_due(session: AsyncSession, now: datetime) -> int:
    """Timer: give each reminder once, and say once that a review is overdue."""
    reviews = await queries.reviews_to_look_at(session, now)
    for review in reviews:
        today = day_in(review.zone, now)
        for step in clock_events(review.due, today, frozenset(review.raised)):
            await _raise(session, review, step, (review.due - today).days, now)
        review.wakes_at = wakes_at(review.due, today, review.zone)
        await session.flush()
    return len(reviews)


async def _raise(
    session: AsyncSession, review: CharterReview, step: str, days_left: int, now: datetime
) -> None:
    charter = await load_for_update(session, Charter, review.charter_id, None)
    event: Event
    if step == OVERDUE:
        event = CharterReviewOverdue(charter_id=charter.id, title=charter.title, due=review.due)
    else:
        event = CharterReviewDueSoon(
            charter_id=charter.id, title=charter.title, due=review.due, days_left=days_left
        )
    review.raised = [*review.raised, step]
    review.version += 1
    review.updated_at = now
    action = f"charter.review.{step}"
    await record(session, charter, Act(action, event), by=SYSTEM, now=now)
