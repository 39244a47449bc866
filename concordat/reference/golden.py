"""Golden samples: one realistic event per type, drafted from the values below, committed, and never changed again.

`make documents` drafts `0001.json` for a type that has none. Read it, make it realistic, commit it.
"""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from services.charter.charters.domain.model_charter import model_charter
from services.registry import SERVICES
from shared.contracts import registry
from shared.contracts.base import Event, Scope
from shared.contracts.governance import TEXT_FORMAT
from shared.messaging.bus import Outgoing
from shared.messaging.outbox import event_row
from shared.messaging.relay import outgoing
from shared.pure.canonical import canonical_json, content_hash

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path("docs/events/golden")
GOLDEN = ROOT / SAMPLES
NOW = datetime(2026, 11, 10, 15, 4, 5, 678000, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _id(number: int) -> UUID:
    """A UUIDv7 of the sample world, one per thing."""
    return UUID(f"019a6e2f-{number:04x}-7c3a-9f1e-5d2b8a40{number:04x}")


CHARTER, CUSTOMER, PROVIDER, OBSERVER, OWNER = (_id(n) for n in range(1, 6))
CHANGE, DECISION, ESCALATION, AGREEMENT, SLA, REPORT, RESULT = (_id(n) for n in range(6, 13))
ALERT, DELIVERY, ENDPOINT, CHECKPOINT, MATTER, AMENDMENT, AMENDED = (_id(n) for n in range(13, 20))
SCOPE = Scope(charter_id=CHARTER, customer_org_id=CUSTOMER, provider_org_id=PROVIDER)
CONTENT = model_charter(
    title="O&M governance charter of DES and FSSC",
    services=("payroll", "accounts_payable", "service_desk", "platform"),
    effective=date(2026, 10, 1),
    annual_order_value=Decimal(4800000),
)
SUBJECTS = {
    "organization": CUSTOMER,
    "member": OWNER,
    "charter": CHARTER,
    "change_request": CHANGE,
    "matter": MATTER,
    "escalation": ESCALATION,
    "agreement": AGREEMENT,
    "sla": SLA,
    "sla_report": REPORT,
    "sla_result": RESULT,
    "alert": ALERT,
    "delivery": DELIVERY,
    "endpoint": ENDPOINT,
    "audit_checkpoint": CHECKPOINT,
}
OWNER_ACTS = {"actorid": str(OWNER), "actorrole": "business_owner"}
UNSCOPED = {"organization", "member", "endpoint"}
"""Aggregates that belong to no charter, so their events carry no scope."""

ASK = {
    "ask_id": UUID("3c9f6f0e-9a51-5d0c-8c0e-6f1f3d1b7a42"),
    "act": "decide",
    "seats": ("customer.om_team.1",),
    "party": "customer",
    "roles": ("om_team",),
    "due_at": datetime(2026, 11, 25, 22, 0, tzinfo=UTC),
    "why": "Shall CR-FY27-0001 (Move the payroll interface to the new message format) be carried out?",
    "link": f"/changes/v1/matters/{MATTER}",
    "optional": False,
}
SUBJECT_HASH = "5b1a9c7d3e2f4061a8b7c6d5e4f3021100ffeeddccbbaa998877665544332211"
AMENDED_SUBJECT: dict[str, object] = {
    "matter_id": AMENDMENT,
    "subject_kind": "charter_amendment",
    "subject_id": AMENDED,
    "subject_number": "AMD-FY27-0001",
    "title": "Name the second alternate of the Service Management Board",
    "impact": {"charter_amendment": "minor"},
    "severity": "moderate",
}
"""A subject of the charter service, which puts it by event."""

VALUES: dict[str, object] = {
    "acknowledge_due": datetime(2026, 11, 25, 22, 0, tzinfo=UTC),
    "acknowledged_at": datetime(2026, 11, 18, 14, 30, tzinfo=UTC),
    "active": True,
    "agreement_id": AGREEMENT,
    "aid": "047",
    "alert_id": ALERT,
    "asks": (ASK,),
    "attempts": 8,
    "body": "smb",
    "cause": "clock",
    "change_id": CHANGE,
    "charter_id": CHARTER,
    "charter_version": 1,
    "clock_ends_at": datetime(2026, 11, 25, 22, 0, tzinfo=UTC),
    "code": "assess_first",
    "conditions": "Back out by 06:00 when the payroll interface check fails.",
    "content": json.loads(canonical_json(CONTENT)),
    "content_hash": content_hash(CONTENT),
    "customer_org_id": CUSTOMER,
    "days_left": 60,
    "decision_id": DECISION,
    "decision_class": "change.normal",
    "decision_number": "DEC-FY27-0001",
    "dedup_key": f"escalation:{ESCALATION}",
    "delivery_id": DELIVERY,
    "determined_at": datetime(2027, 9, 14, 17, 45, tzinfo=UTC),
    "display_name": "Alex Morgan",
    "due": date(2027, 10, 1),
    "effective_date": date(2026, 10, 1),
    "end_date": date(2031, 9, 30),
    "ended": date(2027, 3, 31),
    "endpoint_id": ENDPOINT,
    "escalation_id": ESCALATION,
    "expected": Decimal("99.9"),
    "from_body": "smb",
    "impact": {"cost_one_time": "180000.00", "sla_effect": "none"},
    "issuer": "https://login.des.example/oauth2",
    "level": "minimum",
    "matter_id": MATTER,
    "member_id": OWNER,
    "message": "Assess the required impact first: schedule_days.",
    "metric_key": "payroll_availability",
    "metric_name": "Payroll availability",
    "metrics_met": 11,
    "metrics_missed": 1,
    "minimum": Decimal("99.5"),
    "name": "Department of Example Services",
    "next_review_due": date(2027, 10, 1),
    "number": "CR-FY27-0001",
    "observer_org_ids": (OBSERVER,),
    "org_id": CUSTOMER,
    "origin": "customer",
    "outcome": "no_change",
    "party": "customer",
    "period": "2026-10",
    "pointer": "/impact/schedule_days",
    "priority": "high",
    "provider_org_id": PROVIDER,
    "published_at": datetime(2026, 11, 10, 15, 4, 5, tzinfo=UTC),
    "reason": "The maintenance window collides with the year-end close.",
    "reason_code": "clock_expired",
    "question": "Shall AMD-FY27-0001 (Name the second alternate of the Service Management Board) take effect?",
    "report_id": REPORT,
    "requested_body": None,
    "requester_id": OWNER,
    "requester_name": "Alex Morgan",
    "resolution": "cause_cleared",
    "result_hash": "9f2c1d0e7b6a5948372615041f3e2d5c8b7a69584736251403f2e1d0c9b8a796",
    "result_id": RESULT,
    "role": "business_owner",
    "roles": ("business_owner", "om_team"),
    "rule": "escalation_raised",
    "rules": {"cost_one_time": "cost_one_time/t2", "schedule_days": "schedule_days/t1"},
    "seat": "customer.om_team.1",
    "service": "payroll",
    "severity": "high",
    "sla_id": SLA,
    "start_date": date(2026, 10, 1),
    "subject": "alex.morgan",
    "subject_hash": SUBJECT_HASH,
    "subject_id": CHANGE,
    "subject_kind": "change_request",
    "subject_number": "CR-FY27-0001",
    "text_format": TEXT_FORMAT,
    "tier": 2,
    "title": "Move the payroll interface to the new message format",
    "to_body": "esc",
    "unit": "percent",
    "until": datetime(2026, 11, 16, 14, 0, tzinfo=UTC),
    "value": Decimal("99.437219"),
    "vote": "approve",
    "waits": True,
    "what_changed": "The second alternate is another person.",
}
BY_AGGREGATE: dict[str, dict[str, object]] = {
    "charter": {"title": CONTENT.title, "number": "CHA-FY27-0001"},
    "agreement": {"title": "Financial management shared services", "number": "AGR-FY27-0001"},
    "sla": {"title": "Payroll service levels"},
    "sla_report": {"title": "Payroll service levels, October 2026", "number": "SR-FY27-0001"},
}
BY_EVENT: dict[str, dict[str, object]] = {
    "AcknowledgementOverdue": {"due": datetime(2026, 11, 25, 22, 0, tzinfo=UTC)},
    "AlertOpened": {
        "title": "CR-FY27-0001 escalated from smb to esc: Move the payroll interface to the new message format"
    },
    "AlertSnoozed": {"reason": "The board meets on Monday and has it on its agenda."},
    "AlertWoken": {
        "title": "CR-FY27-0001 escalated from smb to esc: Move the payroll interface to the new message format"
    },
    "CharterDeclined": {"reason": "The cost limit of tier 2 is too high for us."},
    "ChangeWithdrawn": {"reason": "The vendor keeps the old message format for another year."},
    "EndpointDisabled": {"reason": "gone"},
    "ChangeResumed": {"reason": "The funds are obligated."},
    "EscalationClosed": {"outcome": "approved"},
    "MatterDecided": {"asks": (), "outcome": "approved", "reason": "customer: needed\nprovider: ready"},
    "MatterOutcomeNotApplied": AMENDED_SUBJECT | {"reason": "subject_changed"},
    "MatterPositionTaken": {"role": "om_team"},
    "MatterPut": AMENDED_SUBJECT | {"decision_class": "charter_amendment", "reason_code": None},
    "MatterReassigned": {"reason": "The back-out plan is another one."},
    "MatterRefused": {"asks": ()},
    "MatterStale": {"asks": (), "reason": "subject_changed"},
    "MatterSubjectChanged": AMENDED_SUBJECT,
    "MatterWithdrawAsked": AMENDED_SUBJECT | {"reason": "The person stays."},
    "MatterWithdrawRefused": {"asks": (), "code": "already_decided"},
    "MatterWithdrawn": {"asks": (), "reason": "The vendor keeps the old message format for another year."},
    "EscalationRaised": {"cause": "member", "reason_code": "safety_payroll"},
    "ReportOverdue": {"due": datetime(2026, 11, 16, 22, 0, tzinfo=UTC)},
}
BY_THE_CLOCK = {
    *("CharterActivated", "CharterReviewDueSoon", "CharterReviewOverdue", "AgreementReviewDueSoon"),
    *("AgreementReviewOverdue", "SlaReviewDueSoon", "SlaReviewOverdue", "ReportOverdue"),
    *("AcknowledgementOverdue", "ChangeClockWarned", "EscalationElevated", "AlertOpened"),
    *("MatterRefused", "MatterClockHalfway", "MatterClockWarned", "MatterClockEnded", "MatterEscalated"),
    *("MatterReassigned", "MatterStale", "MatterWithdrawRefused"),
    *("AlertWoken", "AlertResolved", "DeliveryExhausted", "EndpointDisabled"),
}
"""Events whose actor is the system itself."""
FIRST = {
    *(
        "OrganizationRegistered",
        "CharterDrafted",
        "ChangeSubmitted",
        "EscalationRaised",
        "AgreementRegistered",
        "MatterOpened",
        "MatterRefused",
        "MatterPut",
    ),
    *("SlaRegistered", "AlertOpened", "MetricMissed"),
}
"""Events that create their aggregate, and so carry sequence 1."""


def golden_sample(cls: type[Event]) -> dict[str, Any]:
    """A realistic event of the class, as it would stand on the topic. A `LookupError` names the fields without a value."""
    values = VALUES | BY_AGGREGATE.get(cls.AGGREGATE, {}) | BY_EVENT.get(cls.__name__, {})
    if missing := cls.model_fields.keys() - values.keys():
        raise LookupError(
            f"{cls.__name__}: give {', '.join(sorted(missing))} a value in {Path(__file__).name}"
        )
    event = cls.model_validate({name: values[name] for name in cls.model_fields})
    scope = Scope() if cls.AGGREGATE in UNSCOPED else SCOPE
    version = 1 if cls.__name__ in FIRST else 3
    by_clock = cls.__name__ in BY_THE_CLOCK
    actor = {"actorid": "system", "actorrole": "system"} if by_clock else OWNER_ACTS
    sent = message(event, scope, version=version, traceparent=TRACE, **actor)
    sample: dict[str, Any] = json.loads(sent.value or b"")
    return sample


def message(event: Event, scope: Scope = SCOPE, *, version: int = 3, **context: str | None) -> Outgoing:
    """What the relay publishes for an event about its subject in the sample world."""
    channel = event.TOPIC.removeprefix("concordat.")
    origin = {"source": f"/services/{channel if channel in SERVICES else SERVICES[0]}"} | context
    subject = SUBJECTS[event.AGGREGATE]
    row = event_row(event, subject, version, scope, NOW, origin)
    read_back = {
        "event_id": str(row["event_id"]),
        "aggregate_id": str(subject),
        "at": NOW,
        "traceparent": context.get("traceparent"),
        "previous_version": version - 1,
        "previous_type": event.TYPE,
    }
    return outgoing(row | read_back)


def golden_files() -> Iterator[Path]:
    """Every sample ever committed."""
    return iter(sorted(GOLDEN.glob("*/*.json")))


def missing_samples(root: Path) -> list[type[Event]]:
    """The event classes that have no golden sample below `root` yet."""
    return [cls for cls in registry() if not (root / sample_path(cls)).exists()]


def sample_path(cls: type[Event]) -> Path:
    """Where the first sample of a class stands, below the project's root."""
    return SAMPLES / cls.TYPE / "0001.json"


def write_missing(root: Path) -> list[Path]:
    """Draft the samples that do not exist; what is committed is never touched."""
    drafted = []
    for cls in missing_samples(root):
        path = root / sample_path(cls)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(cls), "utf-8")
        drafted.append(sample_path(cls))
    return drafted


def _text(cls: type[Event]) -> str:
    """The committed sample where there is one: some were made by hand, with a real signature in them."""
    committed = ROOT / sample_path(cls)
    if committed.exists():
        return committed.read_text("utf-8")
    return json.dumps(golden_sample(cls), indent=2, ensure_ascii=False) + "\n"
