"""Requests and responses of the notifier."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StrictBool, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from services.notifier.domain.alerts import AlertState, Change, Priority, Resolution
from services.notifier.domain.health import Circuit, DisableReason
from services.notifier.domain.rules import RULES
from services.notifier.domain.schedule import DeliveryState, Fault, Verdict
from services.notifier.domain.templates import Template, TemplateOptions, Told
from services.notifier.urls import LONGEST_URL
from shared.contracts.governance import Party, Role
from shared.contracts.notifier import AlertAcknowledged, AlertResolved
from shared.web.pages import Page
from shared.web.schemas import In, Instant, LongText, Out, Text

DELIVERED_TYPES = frozenset({*RULES, AlertAcknowledged.TYPE, AlertResolved.TYPE})
LONGEST_OVERLAP_HOURS = 72


def _known_type(event_type: str) -> str:
    if event_type not in DELIVERED_TYPES:
        raise ValueError("no such event type is delivered; GET /notifier/v1/rules lists them")
    return event_type


def _header_value(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not 1 <= len(value) <= 4000 or not value.isascii() or not value.isprintable():
        raise ValueError("send 1 to 4000 visible ASCII characters, for example 'Basic dXNlcjpwYXNz'")
    return secret


EventType = Annotated[str, StringConstraints(strict=True, max_length=200), AfterValidator(_known_type)]
EventTypes = Annotated[
    tuple[EventType, ...], Field(max_length=len(DELIVERED_TYPES), description="empty: all")
]
Url = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=LONGEST_URL)]
Authorization = Annotated[
    SecretStr, AfterValidator(_header_value), Field(description="the whole header value")
]
Lane = Annotated[int, Field(strict=True, ge=1, le=64, description="deliveries in flight at once")]


class AlertNote(In):
    """Why; it is kept in the alert's history."""

    note: LongText = ""


class AlertEntry(Out):
    """One line of an alert's history."""

    at: datetime
    change: Change
    priority: Priority
    note: str
    event_id: UUID | None
    member_id: UUID | None


class AlertSummary(Out):
    """Something that needs a person of the caller's organization."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    charter_id: UUID | None
    rule: str
    event_type: str
    subject_id: UUID
    dedup_key: str
    title: str
    priority: Priority
    state: AlertState
    roles: list[Role]
    occurrences: int
    last_event_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: UUID | None
    resolved_at: datetime | None
    resolved_by: UUID | None
    resolution: Resolution | None


class Alert(AlertSummary):
    """An alert with its history, oldest first."""

    history: list[AlertEntry]


class AlertPage(Page[AlertSummary]):
    """A page of alerts."""


class TemplateOptionsIn(In):
    """What the chosen template needs; the others' options are ignored."""

    project_key: (
        Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{1,31}$")] | SkipJsonSchema[None]
    ) = None
    issue_type: Text = "Task"
    labels: Annotated[tuple[Text, ...], Field(max_length=20)] = ()
    category: Text = "inquiry"
    assignment_group: Text | SkipJsonSchema[None] = None
    priorities: dict[Priority, Text] = Field(default_factory=dict)

    def as_domain(self) -> TemplateOptions:
        return TemplateOptions(**self.model_dump())


class TemplateOptionsOut(Out):
    """The options as stored."""

    project_key: str | None
    issue_type: str
    labels: list[str]
    category: str
    assignment_group: str | None
    priorities: dict[Priority, str]


class EndpointCreate(In):
    """Where alerts are to be delivered."""

    name: Text
    url: Url
    template: Template = Template.cloudevents
    template_options: TemplateOptionsIn = TemplateOptionsIn()
    event_types: EventTypes = ()
    least_priority: Priority = Priority.normal
    max_in_flight: Lane = 4
    authorization: Authorization | SkipJsonSchema[None] = None


class EndpointChange(In):
    """What is to change; what is not named stays."""

    name: Text | SkipJsonSchema[None] = None
    url: Url | SkipJsonSchema[None] = None
    template: Template | SkipJsonSchema[None] = None
    template_options: TemplateOptionsIn | SkipJsonSchema[None] = None
    event_types: EventTypes | SkipJsonSchema[None] = None
    least_priority: Priority | SkipJsonSchema[None] = None
    max_in_flight: Lane | SkipJsonSchema[None] = None


class Endpoint(Out):
    """An endpoint and how its deliveries have been going. Secrets are never shown again."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    name: str
    url: str
    template: Template
    template_options: TemplateOptionsOut
    event_types: list[str]
    least_priority: Priority
    max_in_flight: int
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: DisableReason | None
    tested_at: datetime | None
    secret_last4: str
    has_authorization: bool
    circuit: Circuit
    circuit_open_until: datetime | None
    failures_in_a_row: int
    failing_since: datetime | None
    needs_configuration: bool
    throttled_until: datetime | None


class EndpointWithSecret(Endpoint):
    """An endpoint with its new signing secret, shown this once."""

    signing_secret: str


class EndpointPage(Page[Endpoint]):
    """A page of endpoints."""


class SecretRotation(In):
    """How long the old secrets keep signing beside the new one."""

    overlap_hours: Annotated[int, Field(strict=True, ge=0, le=LONGEST_OVERLAP_HOURS)] = 24

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.overlap_hours)


class AuthorizationChange(In):
    """Credentials for the endpoint's receiver, sent as its `Authorization` header."""

    authorization: Authorization


class ReplayRange(In):
    """Deliveries created from `since` to before `until`; those that arrived only when asked for."""

    since: Instant
    until: Instant
    delivered_too: StrictBool = False


class Replayed(Out):
    """How many deliveries were queued again."""

    deliveries: int


class DeliveryAttempt(Out):
    """What one attempt met; `excerpt` is the start of the answer, without secrets."""

    number: int
    finished_at: datetime
    duration_ms: int
    verdict: Verdict
    status: int | None
    fault: Fault | None
    error: str
    address: str | None
    excerpt: str


class DeliverySummary(Out):
    """One message for one endpoint. `webhook_id` is the same at every retry and replay."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    endpoint_id: UUID
    alert_id: UUID | None
    event_id: UUID
    event_type: str
    change: Change | None
    webhook_id: str
    is_test: bool
    state: DeliveryState
    attempt: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    done_at: datetime | None


class Delivery(DeliverySummary):
    """A delivery with what is sent and every attempt."""

    content_type: str
    body: str
    attempts: list[DeliveryAttempt]


class DeliveryPage(Page[DeliverySummary]):
    """A page of deliveries."""


class Opening(Out):
    """The alert a rule opens. Templates name fields of the event."""

    dedup_key: str
    title: str
    audience: list[Party]
    roles: list[Role]
    priority: Priority
    priority_by: str | None
    priorities: dict[str, Priority]
    reopens: bool


class Rule(Out):
    """What an event type does to alerts."""

    event_type: str
    name: str
    opens: Opening | None
    resolves: list[str]


class RulePage(Page[Rule]):
    """All rules."""


class TemplateInfo(Out):
    """A body a ticketing system can be sent, and which changes of an alert it is told."""

    name: Template
    content_type: str
    told: Told


class TemplatePage(Page[TemplateInfo]):
    """All templates."""


class RenderRequest(In):
    """A preview: of a sample, or of an alert the caller can see."""

    template_options: TemplateOptionsIn = TemplateOptionsIn()
    alert_id: UUID | SkipJsonSchema[None] = None


class Rendered(Out):
    """What would be sent."""

    content_type: str
    body: dict[str, Any]
