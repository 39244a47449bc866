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
    Term,
    first_due,
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
def test_a_first_review_is_due_after_365_days_or_on_the_instruments_earlier_date(
    last, instrument_date, expected
):
    assert first_due(last, instrument_date) == expected


@pytest.mark.parametrize(
    ("ends", "notice_days", "expected"),
    [
        (date(2029, 9, 30), 180, date(2027, 10, 1)),
        (date(2028, 4, 28), 180, date(2027, 10, 1)),
        (date(2028, 4, 27), 180, date(2027, 9, 30)),
        (date(2027, 3, 31), 30, date(2027, 1, 30)),
        (date(2027, 3, 31), 0, date(2027, 3, 1)),
        (date(2027, 3, 31), 180, date(2026, 10, 1)),
    ],
    ids=[
        "years ahead",
        "the last end that leaves a year",
        "a day less",
        "half a year",
        "no notice",
        "too short for its notice",
    ],
)
def test_a_first_review_leaves_thirty_days_before_notice_must_be_given(ends, notice_days, expected):
    assert first_due(date(2026, 10, 1), term=Term(ends, notice_days)) == expected


@pytest.mark.parametrize(
    ("determined", "was_due", "expected"),
    [
        (date(2027, 9, 14), date(2027, 10, 1), date(2028, 3, 4)),
        (date(2028, 2, 1), date(2028, 3, 4), date(2029, 1, 31)),
        (date(2028, 3, 10), date(2028, 3, 4), date(2029, 3, 10)),
        (date(2028, 5, 1), date(2027, 10, 1), date(2029, 5, 1)),
    ],
    ids=["its end comes first", "decided early", "decided late", "decided too late for notice"],
)
def test_the_next_review_is_due_before_the_end_must_be_decided_unless_it_was(determined, was_due, expected):
    assert next_due(determined, was_due, Term(date(2028, 9, 30), 180)) == expected


def test_what_has_no_end_is_reviewed_a_year_after_each_determination():
    assert next_due(date(2027, 6, 30), date(2027, 10, 1)) == date(2028, 6, 29)


def test_reminders_fall_90_to_0_days_before_the_review_and_it_is_overdue_when_the_day_is_over():
    assert {step: at.isoformat() for step, at in steps(DUE, "America/New_York").items()} == {
        "due_soon:90": "2027-04-01T04:00:00+00:00",
        "due_soon:60": "2027-05-01T04:00:00+00:00",
        "due_soon:30": "2027-05-31T04:00:00+00:00",
        "due_soon:14": "2027-06-16T04:00:00+00:00",
        "due_soon:0": "2027-06-30T04:00:00+00:00",
        "overdue": "2027-07-01T04:00:00+00:00",
    }


def test_a_review_due_after_the_end_is_not_asked_for_and_ends_with_its_subject():
    assert list(steps(DUE, "UTC", Term(DUE)))[-2:] == ["overdue", "ended"]
    after = steps(DUE, "America/New_York", Term(date(2027, 6, 29)))
    assert {step: at.isoformat() for step, at in after.items()} == {"ended": "2027-06-30T04:00:00+00:00"}


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
    with pytest.raises(Refusal, match="allowed in open: build_dossier, close, cancel"):
        REVIEW.next(ReviewState.open, ReviewAction.determine)


def test_a_review_without_a_dossier_closes_when_it_is_determined():
    assert REVIEW.next(ReviewState.open, ReviewAction.close) is ReviewState.closed


def test_only_terminate_ends_the_subject():
    assert [d for d in Determination if d.ends_the_subject] == [Determination.terminate]


def test_only_no_change_closes_without_follow_up():
    assert [d for d in Determination if not d.needs_follow_up] == [Determination.no_change]
