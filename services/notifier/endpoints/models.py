"""Tables of endpoints. Every row belongs to one organization; the other party never sees it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from services.notifier.alerts.domain import Priority
from services.notifier.base import Base
from services.notifier.channels.webhook.domain.templates import Template
from services.notifier.endpoints.domain import Circuit, DisableReason, Health, Purpose
from shared.data.ids import uuid7
from shared.data.session import EnumText, OrgOwned


class Endpoint(OrgOwned, Base):
    """Where an organization wants its alerts delivered, and how that has been going.

    The columns of its health change without a new version: a version covers what people decide.
    """

    __tablename__ = "endpoint"
    changes_silently = True
    __table_args__ = (CheckConstraint("max_in_flight BETWEEN 1 AND 64", name="max_in_flight"),)

    name: Mapped[str]
    url: Mapped[str]
    template: Mapped[Template] = mapped_column(EnumText(Template))
    template_options: Mapped[dict[str, Any]]
    event_types: Mapped[list[str]]
    least_priority: Mapped[Priority] = mapped_column(EnumText(Priority))
    max_in_flight: Mapped[int]
    enabled: Mapped[bool]
    disabled_at: Mapped[datetime | None]
    disabled_reason: Mapped[DisableReason | None] = mapped_column(EnumText(DisableReason))
    deleted_at: Mapped[datetime | None]
    tested_at: Mapped[datetime | None]
    secret_last4: Mapped[str]
    has_authorization: Mapped[bool]
    circuit: Mapped[Circuit] = mapped_column(EnumText(Circuit))
    circuit_open_until: Mapped[datetime | None]
    circuit_closed_at: Mapped[datetime | None]
    circuit_trips: Mapped[int]
    failures_in_a_row: Mapped[int]
    failing_since: Mapped[datetime | None]
    configuration_failures: Mapped[int]
    throttled_until: Mapped[datetime | None]
    warned_at: Mapped[datetime | None]

    @property
    def health(self) -> Health:
        return Health(
            circuit=self.circuit,
            open_until=self.circuit_open_until,
            closed_at=self.circuit_closed_at,
            trips=self.circuit_trips,
            failures_in_a_row=self.failures_in_a_row,
            failing_since=self.failing_since,
            configuration_failures=self.configuration_failures,
            throttled_until=self.throttled_until,
        )

    @health.setter
    def health(self, health: Health) -> None:
        self.circuit = health.circuit
        self.circuit_open_until = health.open_until
        self.circuit_closed_at = health.closed_at
        self.circuit_trips = health.trips
        self.failures_in_a_row = health.failures_in_a_row
        self.failing_since = health.failing_since
        self.configuration_failures = health.configuration_failures
        self.throttled_until = health.throttled_until

    @property
    def takes_new_rules(self) -> bool:
        return not self.event_types

    @property
    def needs_configuration(self) -> bool:
        return self.health.needs_configuration


class EndpointSecret(Base):
    """A sealed secret of an endpoint; `expires_at` ends the overlap of a rotation."""

    __tablename__ = "endpoint_secret"
    __table_args__ = (UniqueConstraint("endpoint_id", "purpose", "secret_version"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("endpoint.id"))
    org_id: Mapped[UUID]
    purpose: Mapped[Purpose] = mapped_column(EnumText(Purpose))
    secret_version: Mapped[int]
    key_id: Mapped[str]
    nonce: Mapped[bytes]
    ciphertext: Mapped[bytes]
    last4: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
