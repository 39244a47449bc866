"""What the sla service publishes: agreements, results, performance reports and their clocks."""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal
from uuid import UUID

from shared.contracts.base import TYPE_PREFIX, Event, Open, ReviewOutcome

TOPIC = "concordat.sla"


class AgreementRegistered(Event):
    """An IAA or contract was registered (M3 R5)."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "agreement.registered.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "agreement"

    agreement_id: UUID
    number: str
    title: str
    start_date: date
    end_date: date
    next_review_due: date


class AgreementReviewDueSoon(Event):
    """The customer's yearly review of an agreement comes due in `days_left` days."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "agreement.review.due_soon.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "agreement"

    agreement_id: UUID
    title: str
    due: date
    days_left: int


class AgreementReviewOverdue(Event):
    """The customer's yearly review of an agreement was not determined in time."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "agreement.review.overdue.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "agreement"

    agreement_id: UUID
    title: str
    due: date


class AgreementReviewDetermined(Event):
    """The customer's Business Owner determined whether the agreement needs updates."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "agreement.review.determined.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "agreement"

    agreement_id: UUID
    outcome: Open[ReviewOutcome]
    determined_at: datetime
    next_review_due: date


class AgreementReviewCancelled(Event):
    """The running review of an agreement ended with the agreement itself, undetermined."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "agreement.review.cancelled.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "agreement"

    agreement_id: UUID
    title: str
    due: date
    ended: date


class SlaRegistered(Event):
    """An SLA was registered under an agreement."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.registered.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla"

    sla_id: UUID
    agreement_id: UUID
    title: str
    service: str
    next_review_due: date


class SlaReviewDueSoon(Event):
    """The customer's yearly review of an SLA comes due in `days_left` days."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.review.due_soon.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla"

    sla_id: UUID
    title: str
    due: date
    days_left: int


class SlaReviewOverdue(Event):
    """The customer's yearly review of an SLA was not determined in time."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.review.overdue.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla"

    sla_id: UUID
    title: str
    due: date


class SlaReviewDetermined(Event):
    """The customer's Business Owner determined whether the SLA needs updates."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.review.determined.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla"

    sla_id: UUID
    outcome: Open[ReviewOutcome]
    determined_at: datetime
    next_review_due: date


class SlaReviewCancelled(Event):
    """The running review of an SLA ended with the SLA itself, undetermined."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.review.cancelled.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla"

    sla_id: UUID
    title: str
    due: date
    ended: date


class ReportDrafted(Event):
    """A performance report was computed for a period."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.report.drafted.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla_report"

    report_id: UUID
    sla_id: UUID
    number: str
    period: str
    result_hash: str


class ReportPublished(Event):
    """The provider's Business Owner published a report; the customer's clock to answer runs."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.report.published.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla_report"

    report_id: UUID
    sla_id: UUID
    number: str
    title: str
    period: str
    result_hash: str
    metrics_met: int
    metrics_missed: int
    published_at: datetime
    acknowledge_due: datetime


class ReportAcknowledged(Event):
    """The customer acknowledged receipt; that is not a waiver."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.report.acknowledged.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla_report"

    report_id: UUID
    sla_id: UUID
    number: str
    acknowledged_at: datetime


class ReportOverdue(Event):
    """A report was not published by its due date (M3 R4)."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.report.overdue.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla_report"

    report_id: UUID
    sla_id: UUID
    title: str
    period: str
    due: datetime


class AcknowledgementOverdue(Event):
    """The customer neither acknowledged nor disputed a report in its window."""

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.report.ack_overdue.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla_report"

    report_id: UUID
    sla_id: UUID
    title: str
    period: str
    due: datetime


class MetricMissed(Event):
    """A published metric result is below its expected or minimum level, compared unrounded.

    `subject` is the result's id. `value` is None when there was no data past the cut-off.
    """

    TYPE: ClassVar[str] = TYPE_PREFIX + "sla.metric.missed.v1"
    TOPIC: ClassVar[str] = TOPIC
    AGGREGATE: ClassVar[str] = "sla_result"

    result_id: UUID
    report_id: UUID
    sla_id: UUID
    metric_key: str
    metric_name: str
    service: str
    period: str
    level: Open[Literal["expected", "minimum", "no_data"]]
    value: Decimal | None
    expected: Decimal
    minimum: Decimal | None
    unit: str


EVENTS: tuple[type[Event], ...] = (
    AgreementRegistered,
    AgreementReviewDueSoon,
    AgreementReviewOverdue,
    AgreementReviewDetermined,
    AgreementReviewCancelled,
    SlaRegistered,
    SlaReviewDueSoon,
    SlaReviewOverdue,
    SlaReviewDetermined,
    SlaReviewCancelled,
    ReportDrafted,
    ReportPublished,
    ReportAcknowledged,
    ReportOverdue,
    AcknowledgementOverdue,
    MetricMissed,
)
