"""Requests and responses about endpoints."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StringConstraints
from pydantic.json_schema import SkipJsonSchema

from services.notifier.alerts.domain import Priority
from services.notifier.channels.webhook.domain.addresses import LONGEST_URL
from services.notifier.channels.webhook.domain.templates import Template
from services.notifier.channels.webhook.schemas import TemplateOptionsIn, TemplateOptionsOut
from services.notifier.endpoints.domain import Circuit, DisableReason
from services.notifier.rules.domain import RULES
from shared.contracts.notifier import AlertAcknowledged, AlertResolved, AlertSnoozed, AlertWoken
from shared.web.pages import Page
from shared.web.schemas import In, Out, Patch, Text

OWN_EVENTS = (AlertAcknowledged, AlertSnoozed, AlertWoken, AlertResolved)
DELIVERED_TYPES = frozenset({*RULES, *(event.TYPE for event in OWN_EVENTS)})
LONGEST_OVERLAP_HOURS = 72


def _known_type(event_type: str) -> str:
    if event_type not in DELIVERED_TYPES:
        raise ValueError("no such event type is delivered; GET /notifier/v1/rules lists them")
    return event_type


def _header_value(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if not 1 <= len(value) <= 4000 or not value.isascii() or not value.isprintable() or value.isspace():
        raise ValueError("send 1 to 4000 visible ASCII characters, for example 'Basic dXNlcjpwYXNz'")
    return secret


EventType = Annotated[str, StringConstraints(strict=True, max_length=200), AfterValidator(_known_type)]
EventTypes = Annotated[
    tuple[EventType, ...],
    Field(
        max_length=len(DELIVERED_TYPES),
        description=(
            "Which events are delivered. Empty: every one that has a rule, also of rules that later versions of "
            "Concordat bring; name the types when your system must not be surprised."
        ),
    ),
]
Url = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=LONGEST_URL)]
Authorization = Annotated[
    SecretStr, AfterValidator(_header_value), Field(description="the whole header value")
]
InFlight = Annotated[int, Field(strict=True, ge=1, le=64, description="deliveries in flight at once")]


class EndpointCreate(In):
    """Where alerts are to be delivered."""

    name: Text
    url: Url
    template: Template = Template.cloudevents
    template_options: TemplateOptionsIn = TemplateOptionsIn()
    event_types: EventTypes = ()
    least_priority: Priority = Priority.normal
    max_in_flight: InFlight = 4
    authorization: Authorization | SkipJsonSchema[None] = None


class EndpointChange(Patch):
    """What is to change; what is not named stays."""

    name: Text | SkipJsonSchema[None] = None
    url: Url | SkipJsonSchema[None] = None
    template: Template | SkipJsonSchema[None] = None
    template_options: TemplateOptionsIn | SkipJsonSchema[None] = None
    event_types: EventTypes | SkipJsonSchema[None] = None
    least_priority: Priority | SkipJsonSchema[None] = None
    max_in_flight: InFlight | SkipJsonSchema[None] = None


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
    takes_new_rules: bool = Field(
        description="Whether events of rules that later versions bring are delivered too: it names no event_types."
    )
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
