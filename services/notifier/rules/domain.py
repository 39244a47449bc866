"""The alert rules as data: which event opens or resolves which alert, for whom, how pressing."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.notifier.alerts.domain import Opened, Priority
from shared.contracts.governance import Party, Role

TITLE_LENGTH = 200
BOTH = frozenset(Party)
CUSTOMER = frozenset({Party.customer})
PROVIDER = frozenset({Party.provider})
TEAM = (Role.om_team, Role.business_owner)
REVIEWERS = (Role.business_owner, Role.om_team)
BOARD = (Role.business_owner, Role.executive_sponsor, Role.om_team)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Priority by the value of one field of the event; values that `levels` lacks get the rule's own."""

    by: str
    levels: Mapping[str, Priority] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The alert an event opens. Templates name the event's fields, as in `{escalation_id}`.

    While an alert with the same dedup key is unresolved it is updated instead, and opened again when
    `reopens`; its priority never falls. `roles` are who should take it up; `acting` the parties of the
    audience that have to act, all of it where nothing else is said.
    """

    dedup_key: str
    title: str
    audience: frozenset[Party]
    acting: frozenset[Party] = BOTH
    roles: tuple[Role, ...] = TEAM
    priority: Priority = Priority.normal
    ranking: Ranking | None = None
    reopens: bool = False


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What one event type does: opens at most one alert per organization, resolves any number.

    `evidence_for` are the parties whose systems keep the event itself; nobody is alerted.
    """

    name: str
    opens: Opening | None = None
    resolves: tuple[str, ...] = ()
    evidence_for: frozenset[Party] = frozenset()


ESCALATION = "escalation:{escalation_id}"
MATTER_CLOCK = "matter_clock:{matter_id}"
CHARTER_REVIEW = "review:charter:{charter_id}"
AGREEMENT_REVIEW = "review:agreement:{agreement_id}"
SLA_REVIEW = "review:sla:{sla_id}"
REPORT_OVERDUE = "report_overdue:{report_id}"
ACK_OVERDUE = "ack_overdue:{report_id}"

RULES: Mapping[str, Rule] = {
    "org.concordat.audit.checkpointed.v1": Rule(name="audit_checkpointed", evidence_for=BOTH),
    "org.concordat.escalation.raised.v1": Rule(
        name="escalation_raised",
        opens=Opening(
            dedup_key=ESCALATION,
            title="{subject_number} escalated from {from_body} to {to_body}: {title}",
            audience=BOTH,
            roles=BOARD,
            priority=Priority.high,
            ranking=Ranking(by="severity", levels={"critical": Priority.urgent, "low": Priority.normal}),
            reopens=True,
        ),
    ),
    "org.concordat.escalation.elevated.v1": Rule(
        name="escalation_elevated",
        opens=Opening(
            dedup_key=ESCALATION,
            title="{subject_number} elevated from {from_body} to {to_body}: {title}",
            audience=BOTH,
            roles=BOARD,
            priority=Priority.high,
            ranking=Ranking(by="severity", levels={"critical": Priority.urgent, "high": Priority.urgent}),
            reopens=True,
        ),
    ),
    "org.concordat.escalation.closed.v1": Rule(name="escalation_closed", resolves=(ESCALATION,)),
    "org.concordat.matter.clock_halfway.v1": Rule(
        name="matter_clock_halfway",
        opens=Opening(
            dedup_key=MATTER_CLOCK,
            title="{subject_number} awaits {body}, half of whose time has run; it ends {clock_ends_at}: {title}",
            audience=BOTH,
        ),
    ),
    "org.concordat.matter.clock_warned.v1": Rule(
        name="matter_clock_warned",
        opens=Opening(
            dedup_key=MATTER_CLOCK,
            title="{subject_number} awaits {body}, whose clock ends {clock_ends_at}: {title}",
            audience=BOTH,
            priority=Priority.high,
        ),
    ),
    # Opens again whoever has acknowledged the warning: that the time is over is another fact.
    "org.concordat.matter.clock_ended.v1": Rule(
        name="matter_clock_ended",
        opens=Opening(
            dedup_key=MATTER_CLOCK,
            title="{subject_number} was not decided by {body}, whose clock ended {clock_ends_at}: {title}",
            audience=BOTH,
            roles=BOARD,
            priority=Priority.high,
            ranking=Ranking(by="severity", levels={"critical": Priority.urgent}),
            reopens=True,
        ),
    ),
    "org.concordat.matter.escalated.v1": Rule(name="matter_escalated", resolves=(MATTER_CLOCK,)),
    "org.concordat.matter.reassigned.v1": Rule(name="matter_reassigned", resolves=(MATTER_CLOCK,)),
    "org.concordat.matter.decided.v1": Rule(name="matter_decided", resolves=(MATTER_CLOCK,)),
    "org.concordat.matter.withdrawn.v1": Rule(name="matter_withdrawn", resolves=(MATTER_CLOCK,)),
    "org.concordat.matter.refused.v1": Rule(name="matter_refused", resolves=(MATTER_CLOCK,)),
    "org.concordat.charter.review.due_soon.v1": Rule(
        name="charter_review_due_soon",
        opens=Opening(
            dedup_key=CHARTER_REVIEW,
            title="Yearly charter review due {due}, in {days_left} days: {title}",
            audience=BOTH,
            roles=REVIEWERS,
        ),
    ),
    "org.concordat.charter.review.overdue.v1": Rule(
        name="charter_review_overdue",
        opens=Opening(
            dedup_key=CHARTER_REVIEW,
            title="Yearly charter review overdue since {due}: {title}",
            audience=BOTH,
            roles=REVIEWERS,
            priority=Priority.high,
            reopens=True,
        ),
    ),
    "org.concordat.charter.review.determined.v1": Rule(
        name="charter_review_determined", resolves=(CHARTER_REVIEW,)
    ),
    "org.concordat.agreement.review.due_soon.v1": Rule(
        name="agreement_review_due_soon",
        opens=Opening(
            dedup_key=AGREEMENT_REVIEW,
            title="Yearly agreement review due {due}, in {days_left} days: {title}",
            audience=CUSTOMER,
            roles=REVIEWERS,
        ),
    ),
    "org.concordat.agreement.review.overdue.v1": Rule(
        name="agreement_review_overdue",
        opens=Opening(
            dedup_key=AGREEMENT_REVIEW,
            title="Yearly agreement review overdue since {due}: {title}",
            audience=CUSTOMER,
            roles=REVIEWERS,
            priority=Priority.high,
            reopens=True,
        ),
    ),
    "org.concordat.agreement.review.determined.v1": Rule(
        name="agreement_review_determined", resolves=(AGREEMENT_REVIEW,)
    ),
    "org.concordat.agreement.review.cancelled.v1": Rule(
        name="agreement_review_cancelled", resolves=(AGREEMENT_REVIEW,)
    ),
    "org.concordat.sla.review.due_soon.v1": Rule(
        name="sla_review_due_soon",
        opens=Opening(
            dedup_key=SLA_REVIEW,
            title="Yearly SLA review due {due}, in {days_left} days: {title}",
            audience=CUSTOMER,
            roles=REVIEWERS,
        ),
    ),
    "org.concordat.sla.review.overdue.v1": Rule(
        name="sla_review_overdue",
        opens=Opening(
            dedup_key=SLA_REVIEW,
            title="Yearly SLA review overdue since {due}: {title}",
            audience=CUSTOMER,
            roles=REVIEWERS,
            priority=Priority.high,
            reopens=True,
        ),
    ),
    "org.concordat.sla.review.determined.v1": Rule(name="sla_review_determined", resolves=(SLA_REVIEW,)),
    "org.concordat.sla.review.cancelled.v1": Rule(name="sla_review_cancelled", resolves=(SLA_REVIEW,)),
    "org.concordat.sla.report.overdue.v1": Rule(
        name="report_overdue",
        opens=Opening(
            dedup_key=REPORT_OVERDUE,
            title="Performance report for {period} overdue since {due}: {title}",
            audience=BOTH,
            acting=PROVIDER,
            priority=Priority.high,
            reopens=True,
        ),
    ),
    "org.concordat.sla.report.published.v1": Rule(name="report_published", resolves=(REPORT_OVERDUE,)),
    "org.concordat.sla.report.ack_overdue.v1": Rule(
        name="acknowledgement_overdue",
        opens=Opening(
            dedup_key=ACK_OVERDUE,
            title="Performance report for {period} not acknowledged by {due}: {title}",
            audience=CUSTOMER,
            reopens=True,
        ),
    ),
    "org.concordat.sla.report.acknowledged.v1": Rule(name="report_acknowledged", resolves=(ACK_OVERDUE,)),
    "org.concordat.sla.metric.missed.v1": Rule(
        name="metric_missed",
        opens=Opening(
            dedup_key="metric:{sla_id}:{metric_key}:{period}",
            title="{metric_name} of {service} missed its {level} level in {period}: {value} {unit}",
            audience=BOTH,
            ranking=Ranking(by="level", levels={"minimum": Priority.high}),
        ),
    ),
}

ENDPOINT_TEAM = (Role.om_team, Role.org_admin)
# What the notifier itself finds out about an organization's endpoints; fed with the endpoint's facts.
FAILING = Opening(
    dedup_key="endpoint_failing:{endpoint_id}",
    title="Endpoint {name} has answered nothing but failures since {failing_since}",
    audience=BOTH,
    roles=ENDPOINT_TEAM,
)
DISABLED = Opening(
    dedup_key="endpoint_disabled:{endpoint_id}",
    title="Endpoint {name} was switched off: {reason}",
    audience=BOTH,
    roles=ENDPOINT_TEAM,
    priority=Priority.high,
    reopens=True,
)
UNUSABLE = Opening(
    dedup_key="endpoint_unusable:{endpoint_id}",
    title="Endpoint {name} gets nothing. Its template and options make no body: set both again",
    audience=BOTH,
    roles=ENDPOINT_TEAM,
    priority=Priority.high,
)
BLOCKED = Opening(
    dedup_key="endpoint_blocked:{endpoint_id}",
    title="Endpoint {name} gets nothing. {reason}",
    audience=BOTH,
    roles=ENDPOINT_TEAM,
    priority=Priority.high,
)


def _kind(dedup_key: str) -> str:
    """What a template of keys is about: the text before its first value."""
    return dedup_key.partition("{")[0]


OWN = (FAILING, DISABLED, UNUSABLE, BLOCKED)
CLEARED = {_kind(key) for rule in RULES.values() for key in rule.resolves} | {
    _kind(each.dedup_key) for each in OWN
}
"""The kinds of alerts that end by themselves when their cause does."""


def ends_with_cause(opening: Opening) -> bool:
    """Whether some event, or the notifier itself, says when the cause of such alerts is over."""
    return _kind(opening.dedup_key) in CLEARED


def filled(rule: str, opening: Opening, facts: Mapping[str, object]) -> Opened:
    """`opening` with its templates filled from `facts`; missing optional values read as "none"."""
    return Opened(
        rule=rule,
        dedup_key=rendered(opening.dedup_key, facts),
        title=one_line(rendered(opening.title, facts))[:TITLE_LENGTH],
        audience=opening.audience,
        acting=opening.audience & opening.acting,
        ends_with_cause=ends_with_cause(opening),
        roles=opening.roles,
        priority=_ranked(opening, facts),
        reopens=opening.reopens,
    )


def _ranked(opening: Opening, facts: Mapping[str, object]) -> Priority:
    if opening.ranking is None:
        return opening.priority
    return opening.ranking.levels.get(str(facts.get(opening.ranking.by)), opening.priority)


def rendered(template: str, facts: Mapping[str, object]) -> str:
    """A template of this file with the event's values put in; values are never templates themselves."""
    return template.format_map(
        {name: "none" if value is None else str(value) for name, value in facts.items()}
    )


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters: a title goes into headers and columns."""
    return "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)


def audience_orgs(
    audience: frozenset[Party], visibility: str, customer_org_id: UUID | None, provider_org_id: UUID | None
) -> tuple[UUID, ...]:
    """The organizations an event's alert is for: the rule's parties, never beyond the event's visibility."""
    organizations = {Party.customer: customer_org_id, Party.provider: provider_org_id}
    return tuple(
        org
        for party, org in organizations.items()
        if org is not None and party in audience and visibility in ("shared", party.value)
    )
