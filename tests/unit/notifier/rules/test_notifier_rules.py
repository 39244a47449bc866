"""The rule table fits the published events, and fills its templates from them."""

import string
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from services.notifier.alerts.domain import LIFE, AlertAction, AlertState, Priority, more_pressing
from services.notifier.rules.domain import (
    BLOCKED,
    DISABLED,
    FAILING,
    RULES,
    UNUSABLE,
    audience_orgs,
    ends_with_cause,
    filled,
    one_line,
    rendered,
)
from shared.contracts import registry
from shared.contracts.changes import EscalationElevated, EscalationRaised
from shared.contracts.charter import CharterReviewOverdue
from shared.contracts.governance import Party
from shared.contracts.sla import MetricMissed
from shared.pure.refusal import Refusal

EVENTS = registry()
CUSTOMER, PROVIDER = UUID(int=1), UUID(int=2)


def names_in(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("event_type", RULES)
def test_a_rule_names_a_published_event_and_only_fields_it_has(event_type):
    event, rule = EVENTS.get(event_type), RULES[event_type]
    assert event is not None
    opens = rule.opens
    templates = [*rule.resolves, *([opens.dedup_key, opens.title] if opens else [])]
    used = set().union(*(names_in(template) for template in templates))
    used |= {opens.ranking.by} if opens and opens.ranking else set()
    assert used <= event.model_fields.keys()


def test_rule_names_are_unique():
    names = [rule.name for rule in RULES.values()]
    assert len(names) == len(set(names))


def test_every_alert_but_a_missed_metric_is_resolved_by_some_event():
    opened = {rule.opens.dedup_key.split("{")[0] for rule in RULES.values() if rule.opens}
    resolved = {key.split("{")[0] for rule in RULES.values() for key in rule.resolves}
    assert opened - resolved == {"metric:"}
    assert resolved <= opened


def escalation(kind, severity):
    return kind(
        escalation_id=UUID(int=7),
        subject_kind="change_request",
        subject_id=UUID(int=8),
        subject_number="CR-FY27-0001",
        title="Replace the {gateway}\nnow",
        from_body="ccb",
        to_body="steering",
        cause="clock",
        reason_code="clock_ran_out",
        severity=severity,
        clock_ends_at=None,
    )


def opened_by(event):
    rule = RULES[event.TYPE]
    return filled(rule.name, rule.opens, event.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("kind", "severity", "priority"),
    [
        (EscalationRaised, "critical", Priority.urgent),
        (EscalationRaised, "high", Priority.high),
        (EscalationRaised, "moderate", Priority.high),
        (EscalationRaised, "low", Priority.normal),
        (EscalationElevated, "critical", Priority.urgent),
        (EscalationElevated, "high", Priority.urgent),
        (EscalationElevated, "low", Priority.high),
    ],
)
def test_an_escalation_is_as_pressing_as_its_severity_and_rung(kind, severity, priority):
    assert opened_by(escalation(kind, severity)).priority is priority


def test_a_raised_and_an_elevated_escalation_share_one_alert():
    raised, elevated = (
        opened_by(escalation(kind, "high")) for kind in (EscalationRaised, EscalationElevated)
    )
    assert raised.dedup_key == elevated.dedup_key == f"escalation:{UUID(int=7)}"
    assert elevated.reopens


def test_values_of_an_event_are_text_and_never_templates():
    title = opened_by(escalation(EscalationRaised, "high")).title
    assert title == "CR-FY27-0001 escalated from ccb to steering: Replace the {gateway} now"
    assert rendered("{a}", {"a": "{b.__class__}"}) == "{b.__class__}"


def test_a_title_is_one_line_of_at_most_200_characters():
    event = CharterReviewOverdue(charter_id=UUID(int=1), title="é" * 300, due=date(2026, 10, 1))
    assert len(opened_by(event).title) == 200
    assert one_line("a\r\nb\u2028c") == "a  b c"


@pytest.mark.parametrize(
    ("level", "priority"), [("minimum", "high"), ("expected", "normal"), ("no_data", "normal")]
)
def test_a_metric_below_its_minimum_is_more_pressing(level, priority):
    event = MetricMissed(
        result_id=UUID(int=1),
        report_id=UUID(int=2),
        sla_id=UUID(int=3),
        metric_key="availability",
        metric_name="Availability",
        service="payroll",
        period="2026-10",
        level=level,
        value=None if level == "no_data" else "99.2",
        expected="99.9",
        minimum="99.5",
        unit="percent",
    )
    opened = opened_by(event)
    assert (opened.priority, opened.dedup_key) == (priority, f"metric:{UUID(int=3)}:availability:2026-10")


@pytest.mark.parametrize(
    ("audience", "visibility", "orgs"),
    [
        (set(Party), "shared", (CUSTOMER, PROVIDER)),
        (set(Party), "customer", (CUSTOMER,)),
        (set(Party), "provider", (PROVIDER,)),
        ({Party.customer}, "shared", (CUSTOMER,)),
        ({Party.customer}, "provider", ()),
    ],
)
def test_an_alert_reaches_its_parties_but_never_beyond_the_events_visibility(audience, visibility, orgs):
    assert audience_orgs(frozenset(audience), visibility, CUSTOMER, PROVIDER) == orgs


def test_an_event_without_a_charter_alerts_nobody():
    assert audience_orgs(frozenset(Party), "shared", None, None) == ()


def test_the_endpoints_own_alerts_fill_from_its_facts():
    facts = {
        "endpoint_id": UUID(int=5),
        "name": "Jira",
        "reason": "gone",
        "failing_since": datetime(2026, 1, 1, tzinfo=UTC),
    }
    keys = [filled("r", opening, facts).dedup_key for opening in (FAILING, DISABLED, BLOCKED)]
    assert len(set(keys)) == 3


def test_whatever_nobody_will_say_is_over_can_be_settled_by_everyone_it_is_for():
    """Else an alert would stay for good with a party that may neither settle it nor wait for its end."""
    openings = [rule.opens for rule in RULES.values() if rule.opens]
    for opening in openings:
        assert ends_with_cause(opening) or opening.audience <= opening.acting, opening.dedup_key
    assert [o.dedup_key for o in openings if not ends_with_cause(o)] == [
        "metric:{sla_id}:{metric_key}:{period}"
    ]


def test_the_endpoints_own_alerts_end_with_their_cause():
    assert all(ends_with_cause(opening) for opening in (FAILING, DISABLED, BLOCKED, UNUSABLE))


@pytest.mark.parametrize(
    ("event", "acting"),
    [
        ("org.concordat.sla.report.overdue.v1", {Party.provider}),
        ("org.concordat.sla.report.ack_overdue.v1", {Party.customer}),
        ("org.concordat.agreement.review.overdue.v1", {Party.customer}),
        ("org.concordat.charter.review.overdue.v1", {Party.customer, Party.provider}),
        ("org.concordat.escalation.raised.v1", {Party.customer, Party.provider}),
    ],
)
def test_each_rule_says_which_party_has_to_act(event, acting):
    opening = RULES[event].opens
    assert opening is not None
    assert opening.audience & opening.acting == acting


@pytest.mark.parametrize(
    ("state", "action", "after"),
    [
        ("open", "acknowledge", "acknowledged"),
        ("open", "resolve", "resolved"),
        ("open", "raise_again", "open"),
        ("open", "snooze", "snoozed"),
        ("acknowledged", "resolve", "resolved"),
        ("acknowledged", "raise_again", "open"),
        ("acknowledged", "acknowledge", None),
        ("acknowledged", "snooze", "snoozed"),
        ("snoozed", "snooze", "snoozed"),
        ("snoozed", "acknowledge", "acknowledged"),
        ("snoozed", "raise_again", "open"),
        ("snoozed", "resolve", "resolved"),
        ("resolved", "acknowledge", None),
        ("resolved", "resolve", None),
        ("resolved", "snooze", None),
        ("resolved", "raise_again", None),
    ],
)
def test_the_life_of_an_alert(state, action, after):
    if after is None:
        with pytest.raises(Refusal):
            LIFE.next(AlertState(state), AlertAction(action))
    else:
        assert LIFE.next(AlertState(state), AlertAction(action)) == after


def test_urgent_presses_more_than_high_and_high_more_than_normal():
    assert more_pressing(Priority.normal, Priority.high) is Priority.high
    assert more_pressing(Priority.urgent, Priority.high) is Priority.urgent
