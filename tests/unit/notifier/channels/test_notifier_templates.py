"""Ticket bodies have the shapes their systems document."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.notifier.alerts.domain import AlertState, Change, Priority
from services.notifier.channels.webhook.domain.templates import (
    BODIES,
    UPDATES,
    Template,
    TemplateOptions,
    Ticket,
    atlassian_document,
    body,
    check_options,
    options_of,
    passes_on,
    stored_options,
)
from shared.pure.refusal import Refusal

EVENT = {"specversion": "1.0", "id": "0198", "data": {"title": "x"}}
TICKET = Ticket(
    alert_id=UUID(int=9),
    rule="escalation_raised",
    title="CR-FY27-0001 escalated to steering",
    priority=Priority.urgent,
    state=AlertState.open,
    opened_at=datetime(2026, 11, 20, 12, 0, tzinfo=UTC),
    change=Change.opened,
    event=EVENT,
)
JIRA = TemplateOptions(project_key="OPS", labels=("m3",))


@pytest.mark.parametrize(
    "stored", [{}, {"labels": ["m3"]}, {"priorities": {"high": "2"}, "of_a_later_version": 1}]
)
def test_options_of_another_version_are_read_with_the_defaults_of_this_one(stored):
    options = options_of(stored)
    assert options.issue_type == "Task"
    assert options_of(stored_options(options)) == options


def test_every_template_has_a_body_and_a_list_of_what_it_is_told():
    assert set(BODIES) == set(UPDATES) == set(Template)


def test_cloudevents_sends_the_event_itself():
    assert body(Template.cloudevents, TICKET, TemplateOptions()) == EVENT


def test_a_servicenow_incident_correlates_with_the_alert():
    incident = body(Template.servicenow_incident, TICKET, TemplateOptions(category="software"))
    assert incident.keys() == {
        "short_description",
        "description",
        "urgency",
        "impact",
        "correlation_id",
        "correlation_display",
        "category",
        "work_notes",
    }
    assert incident["correlation_id"] == str(UUID(int=9))
    assert (incident["correlation_display"], incident["category"]) == ("Concordat", "software")
    assert all(isinstance(value, str) for value in incident.values())


@pytest.mark.parametrize(("priority", "level"), [("urgent", "1"), ("high", "2"), ("normal", "3")])
def test_servicenow_urgency_follows_the_priority(priority, level):
    incident = body(
        Template.servicenow_incident, replace(TICKET, priority=Priority(priority)), TemplateOptions()
    )
    assert (incident["urgency"], incident["impact"]) == (level, level)


def test_a_resolved_alert_resolves_the_incident():
    resolved = replace(TICKET, change=Change.resolved, state=AlertState.resolved)
    incident = body(Template.servicenow_incident, resolved, TemplateOptions(assignment_group="O&M"))
    assert (incident["state"], incident["assignment_group"]) == ("6", "O&M")
    assert incident["close_code"]
    assert incident["close_notes"]


def test_a_jira_issue_names_project_type_and_priority():
    fields = body(Template.jira_issue, TICKET, JIRA)["fields"]
    assert fields["project"] == {"key": "OPS"}
    assert fields["issuetype"] == {"name": "Task"}
    assert fields["priority"] == {"name": "Highest"}
    assert fields["labels"] == ["concordat", f"concordat-{UUID(int=9)}", "m3"]


def test_a_jira_description_is_an_atlassian_document():
    document = body(Template.jira_issue, TICKET, JIRA)["fields"]["description"]
    assert (document["type"], document["version"]) == ("doc", 1)
    for paragraph in document["content"]:
        assert paragraph["type"] == "paragraph"
        assert all(node["type"] == "text" and node["text"] for node in paragraph["content"])


def test_an_empty_line_is_an_empty_paragraph():
    assert atlassian_document("a\n\nb")["content"][1] == {"type": "paragraph", "content": []}


def test_owners_may_name_their_own_priorities():
    options = replace(JIRA, priorities={Priority.urgent: "Blocker"})
    assert body(Template.jira_issue, TICKET, options)["fields"]["priority"] == {"name": "Blocker"}


@pytest.mark.parametrize(
    ("template", "change", "sent_before", "passes"),
    [
        ("cloudevents", "resolved", False, True),
        ("cloudevents", "acknowledged", True, True),
        ("servicenow_incident", "opened", False, True),
        ("servicenow_incident", "reopened", False, True),
        ("servicenow_incident", "resolved", True, True),
        ("servicenow_incident", "resolved", False, False),
        ("servicenow_incident", "acknowledged", False, False),
        ("jira_issue", "opened", False, True),
        ("jira_issue", "reopened", False, True),
        ("jira_issue", "updated", True, False),
        ("jira_issue", "resolved", True, False),
        ("jira_issue", "resolved", False, False),
    ],
)
def test_a_system_is_sent_what_it_can_use(template, change, sent_before, passes):
    assert passes_on(Template(template), Change(change), sent_before=sent_before) is passes


def test_long_titles_fit_the_fields():
    long = replace(TICKET, title="t" * 400)
    assert len(body(Template.servicenow_incident, long, TemplateOptions())["short_description"]) == 160
    assert len(body(Template.jira_issue, long, JIRA)["fields"]["summary"]) == 255


@pytest.mark.parametrize(
    ("template", "options", "code"),
    [
        (Template.jira_issue, TemplateOptions(), "project_key_required"),
        (Template.jira_issue, TemplateOptions(project_key="OPS", labels=("two words",)), "bad_label"),
    ],
)
def test_options_that_cannot_make_a_body_are_refused(template, options, code):
    with pytest.raises(Refusal) as refused:
        check_options(template, options)
    assert refused.value.code == code


@pytest.mark.parametrize("template", Template)
def test_every_body_is_json_below_20_kilobytes(template):
    check_options(template, JIRA)
    assert len(json.dumps(body(template, TICKET, JIRA))) < 20_000
