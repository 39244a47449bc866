"""When reviews fall due, when their reminders fall, who signs and which steps follow."""

from datetime import UTC, date, datetime

import pytest

from shared.contracts.governance import Party, Role
from shared.pure.refusal import Refusal
from shared.reviews.domain import (
    REVIEW,
    Determination,
    ReviewAction,
    ReviewState,
    SubjectKind,
    next_due,
    required_signers,
    steps,
)

DUE = date(2027, 6, 30)
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


def test_reminders_fall_90_to_0_days_before_the_review_and_it_is_overdue_when_the_day_is_over():
    assert {step: at.isoformat() for step, at in steps(DUE, "America/New_York").items()} == {
        "due_soon:90": "2027-04-01T04:00:00+00:00",
        "due_soon:60": "2027-05-01T04:00:00+00:00",
        "due_soon:30": "2027-05-31T04:00:00+00:00",
        "due_soon:14": "2027-06-16T04:00:00+00:00",
        "due_soon:0": "2027-06-30T04:00:00+00:00",
        "overdue": "2027-07-01T04:00:00+00:00",
    }


def test_reminders_keep_to_the_local_day_when_clocks_change():
    winter = steps(date(2027, 1, 30), "America/New_York")
    assert winter["due_soon:90"] == datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert winter["due_soon:60"] == datetime(2026, 12, 1, 5, tzinfo=UTC)


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
