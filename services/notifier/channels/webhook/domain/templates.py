"""The built-in bodies an endpoint can be sent: the event itself, a ServiceNow incident, a Jira issue."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.notifier.alerts.domain import AlertState, Change, Priority
from shared.pure.refusal import Invalid

Json = Mapping[str, object]
PRODUCT = "Concordat"
SERVICENOW_TITLE = 160
JIRA_SUMMARY = 255


class Template(StrEnum):
    """How a delivery's body is made."""

    cloudevents = "cloudevents"
    servicenow_incident = "servicenow_incident"
    jira_issue = "jira_issue"


@dataclass(frozen=True, kw_only=True)
class TemplateOptions:
    """What the owner of an endpoint chose. Each template reads the options that concern it."""

    project_key: str | None = None
    issue_type: str = "Task"
    labels: tuple[str, ...] = ()
    category: str = "inquiry"
    assignment_group: str | None = None
    priorities: Mapping[Priority, str] = field(default_factory=dict)


def stored_options(options: TemplateOptions) -> dict[str, Any]:
    """The options as JSON keeps them."""
    return asdict(options) | {
        "labels": list(options.labels),
        "priorities": {priority.value: name for priority, name in options.priorities.items()},
    }


def options_of(stored: Mapping[str, Any]) -> TemplateOptions:
    """The options that were stored, perhaps by a version that knew fewer or more of them."""
    known = {each.name: stored[each.name] for each in fields(TemplateOptions) if each.name in stored}
    priorities = {Priority(priority): name for priority, name in known.get("priorities", {}).items()}
    return TemplateOptions(**known | {"labels": tuple(known.get("labels", ())), "priorities": priorities})


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """An alert at the moment of one change, with the event (CloudEvents JSON) that caused it."""

    alert_id: UUID
    rule: str
    title: str
    priority: Priority
    state: AlertState
    opened_at: datetime
    change: Change
    event: Json


UNSETTLED = frozenset({Change.opened, Change.updated, Change.reopened})


class Updates(StrEnum):
    """Which changes of an alert a template passes on."""

    everything = "everything"
    follow_ups = "follow_ups"
    once = "once"


# Jira's create call would open a second issue for every further message, so it is sent once; a
# ServiceNow incident is updated by its correlation id, but nothing is sent to resolve what never was.
UPDATES: Mapping[Template, Updates] = {
    Template.cloudevents: Updates.everything,
    Template.servicenow_incident: Updates.follow_ups,
    Template.jira_issue: Updates.once,
}
CONTENT_TYPES: Mapping[Template, str] = {
    Template.cloudevents: "application/cloudevents+json; charset=utf-8",
    Template.servicenow_incident: "application/json",
    Template.jira_issue: "application/json",
}
LEVELS = {Priority.urgent: "1", Priority.high: "2", Priority.normal: "3"}
JIRA_PRIORITIES = {Priority.urgent: "Highest", Priority.high: "High", Priority.normal: "Medium"}
SERVICENOW_RESOLVED = {"state": "6", "close_code": "Resolved by caller"}


def check_options(template: Template, options: TemplateOptions) -> None:
    """`Invalid` unless the options make a body."""
    if template is Template.jira_issue and not options.project_key:
        raise Invalid(
            "project_key_required", "A Jira issue needs a project key.", "/template_options/project_key"
        )
    if any(" " in label for label in options.labels):
        raise Invalid("bad_label", "A Jira label holds no space.", "/template_options/labels")


def passes_on(template: Template, change: Change, *, sent_before: bool) -> bool:
    """Whether `change` is sent to an endpoint; `sent_before`: that alert was sent there already."""
    match UPDATES[template]:
        case Updates.everything:
            return True
        case Updates.follow_ups:
            return change in UNSETTLED or sent_before
        case Updates.once:
            return change in UNSETTLED and not sent_before


def body(template: Template, ticket: Ticket, options: TemplateOptions) -> Json:
    """The JSON body of one delivery."""
    return BODIES[template](ticket, options)


def cloud_event(ticket: Ticket, options: TemplateOptions) -> Json:
    """The event as it was published, with the alert's id as extension `alertid`."""
    return ticket.event


def servicenow_incident(ticket: Ticket, options: TemplateOptions) -> Json:
    """An incident for a table or import-set API that coalesces on `correlation_id`."""
    level = options.priorities.get(ticket.priority, LEVELS[ticket.priority])
    optional = {"assignment_group": options.assignment_group} if options.assignment_group else {}
    return {
        "short_description": ticket.title[:SERVICENOW_TITLE],
        "description": description(ticket),
        "urgency": level,
        "impact": level,
        "correlation_id": str(ticket.alert_id),
        "correlation_display": PRODUCT,
        "category": options.category,
        "work_notes": note(ticket),
        **optional,
        **(_resolved(ticket) if ticket.change is Change.resolved else {}),
    }


def _resolved(ticket: Ticket) -> Json:
    return {**SERVICENOW_RESOLVED, "close_notes": note(ticket)}


def jira_issue(ticket: Ticket, options: TemplateOptions) -> Json:
    """The body of Jira's create-issue call (REST v3); the text is an Atlassian document."""
    priority = options.priorities.get(ticket.priority, JIRA_PRIORITIES[ticket.priority])
    return {
        "fields": {
            "project": {"key": options.project_key},
            "issuetype": {"name": options.issue_type},
            "summary": ticket.title[:JIRA_SUMMARY],
            "description": atlassian_document(description(ticket)),
            "labels": ["concordat", f"concordat-{ticket.alert_id}", *options.labels],
            "priority": {"name": priority},
        }
    }


def atlassian_document(text: str) -> Json:
    """`text` as an Atlassian Document Format document, one paragraph per line."""
    return {"type": "doc", "version": 1, "content": [_paragraph(line) for line in text.splitlines()]}


def _paragraph(line: str) -> Json:
    # The format refuses empty text nodes; an empty line is a paragraph without content.
    return {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []}


def description(ticket: Ticket) -> str:
    """What a person needs to find the alert again. No link: there is no page yet that a person could open."""
    lines = (
        ticket.title,
        "",
        f"Rule: {ticket.rule}",
        f"Priority: {ticket.priority}",
        f"Opened: {ticket.opened_at.isoformat(timespec='seconds')}",
        f"{PRODUCT} alert: {ticket.alert_id}",
    )
    return "\n".join(lines)


def note(ticket: Ticket) -> str:
    """One line on what just changed."""
    return f"{PRODUCT}: alert {ticket.change} ({ticket.rule}, {ticket.priority}). {ticket.title}"


BODIES: Mapping[Template, Callable[[Ticket, TemplateOptions], Json]] = {
    Template.cloudevents: cloud_event,
    Template.servicenow_incident: servicenow_incident,
    Template.jira_issue: jira_issue,
}
