"""When reviews fall due, what their clock raises, who signs and which steps follow."""

from datetime import date, timedelta

import pytest

from shared.contracts.governance import Party, Role
from shared.pure.refusal import Refusal
from shared.reviews.domain import (
    REVIEW,
    Determination,
    ReviewAction,
    ReviewState,
    SubjectKind,
    clock_events,
    due_soon_on,
    next_due,
    required_signers,
)

DUE = date(2027, 6, 30)
NOTHING: frozenset[str] = frozenset()
CUSTOMER = (Party.customer, Role.business_owner)
PROVIDER = (Party.provider, Role.business_owner)


@pytest.mark.parametrize(
    ("last", "instrument_date", "expected"),
    [
        (date(2026, 10, 1), None, date(2027, 10, 1)),
        (date(2027, 10, 1), None, date(2028, 9, 30)),
        (date(2026, 10, 1), date(2027, 6, 30), date(2027, 6, 30)),
        (date(2026, 10, 1), date(2028, 6, 30), date(2027, 10, 1)),
        (date(2026, 10, 1), date(2026, 10, 1), date(2027, 10, 1)),
    ],
)
def test_a_review_is_due_after_365_days_or_on_the_instruments_earlier_date(last, instrument_date, expected):
    assert next_due(last, instrument_date) == expected


def test_reminders_fall_90_to_0_days_before_the_review():
    assert due_soon_on(DUE) == {
        "due_soon:90": date(2027, 4, 1),
        "due_soon:60": date(2027, 5, 1),
        "due_soon:30": date(2027, 5, 31),
        "due_soon:14": date(2027, 6, 16),
        "due_soon:0": DUE,
    }


@pytest.mark.parametrize(
    ("days_before", "already_raised", "expected"),
    [
        (91, NOTHING, []),
        (90, NOTHING, ["due_soon:90"]),
        (89, {"due_soon:90"}, []),
        (60, {"due_soon:90"}, ["due_soon:60"]),
        (20, NOTHING, ["due_soon:30"]),
        (20, {"due_soon:90", "due_soon:30"}, []),
        (0, {"due_soon:14"}, ["due_soon:0"]),
        (-1, {"due_soon:0"}, ["overdue"]),
        (-1, NOTHING, ["overdue"]),
        (-300, {"overdue"}, []),
    ],
)
def test_the_clock_raises_the_newest_event_and_never_twice(days_before, already_raised, expected):
    today = DUE - timedelta(days=days_before)
    assert clock_events(DUE, today, frozenset(already_raised)) == expected


def test_a_year_of_daily_checks_raises_every_event_once():
    raised: list[str] = []
    for day in range(365):
        raised += clock_events(DUE, date(2026, 10, 1) + timedelta(days=day), frozenset(raised))
    assert raised == [*due_soon_on(DUE), "overdue"]


@pytest.mark.parametrize(
    ("subject", "signers"),
    [
        (SubjectKind.charter, {CUSTOMER, PROVIDER}),
        (SubjectKind.agreement, {CUSTOMER}),
        (SubjectKind.sla, {CUSTOMER}),
    ],
)
def test_both_owners_determine_a_charter_review_and_the_customer_the_others(subject, signers):
    assert required_signers(subject) == signers


def test_a_review_runs_from_scheduled_to_closed():
    state = ReviewState.scheduled
    for action in ("open", "build_dossier", "record_findings", "determine", "close"):
        state = REVIEW.next(state, ReviewAction(action))
    assert state is ReviewState.closed


@pytest.mark.parametrize("state", [ReviewState.closed, ReviewState.cancelled])
def test_an_ended_review_allows_nothing(state):
    assert REVIEW.allowed(state) == ()


@pytest.mark.parametrize(
    "state", [s for s in ReviewState if s not in (ReviewState.closed, ReviewState.cancelled)]
)
def test_a_review_under_way_can_be_cancelled(state):
    assert REVIEW.next(state, ReviewAction.cancel) is ReviewState.cancelled


def test_a_review_cannot_be_determined_before_its_findings():
    with pytest.raises(Refusal, match="allowed in open: build_dossier, cancel"):
        REVIEW.next(ReviewState.open, ReviewAction.determine)


def test_only_no_change_closes_without_follow_up():
    assert [d for d in Determination if not d.needs_follow_up] == [Determination.no_change]
