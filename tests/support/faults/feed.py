"""What happens at the other services, put on the bus for the notifier, with what has to come of it written down."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from shared.contracts.base import Event, Scope, Visibility, rfc3339
from shared.contracts.changes import EscalationClosed, EscalationElevated, EscalationRaised
from shared.contracts.governance import Severity
from shared.contracts.sla import MetricMissed
from shared.data.ids import uuid7
from shared.messaging.bus import Outgoing
from shared.messaging.connection import LOST
from shared.messaging.outbox import event_row
from shared.messaging.pglog.bus import PgLogBus
from tests.support.faults.history import History

PERIODS: Final = ("2026-10", "2026-11")
SUBJECT: Final = {"subject_kind": "change_request", "subject_number": "CR-FY27-0001"}


@dataclass(frozen=True)
class Happening:
    """One event to publish, and the window of the rule it opens, if it does."""

    event: Event
    aggregate: UUID
    version: int
    scope: Scope
    breach: tuple[str, str] | None = None

    @property
    def orgs(self) -> tuple[UUID, ...]:
        """Who may see it."""
        parties = {"customer": self.scope.customer_org_id, "provider": self.scope.provider_org_id}
        allowed = parties if self.scope.visibility == "shared" else (self.scope.visibility,)
        return tuple(org for side in allowed if (org := parties[side]) is not None)


def escalation(scope: Scope, closes: bool) -> Iterator[Happening]:
    """Raised, elevated, perhaps closed: one window, so one alert for each party."""
    escalation_id, subject = uuid7(), uuid7()
    window = ("escalation", str(escalation_id))
    for version, kind in enumerate((EscalationRaised, EscalationElevated), start=1):
        event = kind(
            escalation_id=escalation_id,
            subject_id=subject,
            title="Replace the gateway",
            from_body="jowg",
            to_body="smb",
            cause="clock",
            reason_code="clock_ran_out",
            severity=Severity.high,
            clock_ends_at=None,
            **SUBJECT,
        )
        yield Happening(event, escalation_id, version, scope, window)
    if closes:
        closed = EscalationClosed(
            escalation_id=escalation_id, subject_id=subject, outcome="approved", **SUBJECT
        )
        yield Happening(closed, escalation_id, 3, scope)


def missed_metric(scope: Scope) -> Iterator[Happening]:
    """A metric misses its level: twice in one period (a corrected result), and in the next."""
    sla, report = uuid7(), uuid7()
    for period in (PERIODS[0], *PERIODS):
        result = uuid7()
        event = MetricMissed(
            result_id=result,
            report_id=report,
            sla_id=sla,
            metric_key="availability",
            metric_name="Availability",
            service="payroll",
            period=period,
            level="minimum",
            value=Decimal("97.1"),
            expected=Decimal("99.5"),
            minimum=Decimal(98),
            unit="%",
        )
        yield Happening(event, result, 1, scope, ("metric", f"{sla}:availability:{period}"))


def scopes(charter: UUID, customer: UUID, provider: UUID) -> Iterator[Scope]:
    """What both parties see, and what only one of them does."""
    sides: tuple[Visibility, ...] = ("shared", "customer", "provider")
    for visibility in sides:
        yield Scope(
            charter_id=charter, customer_org_id=customer, provider_org_id=provider, visibility=visibility
        )


@dataclass
class Feed:
    """Publishes one happening after the other. `listeners` names the endpoints of an organization."""

    history: History
    bus: PgLogBus
    scopes: list[Scope]
    listeners: Callable[[UUID], list[str]]
    beside: str = ""
    """The obstacle that the events published from now on have to pass, if there is one."""
    published: dict[str, str] = field(default_factory=dict)
    """Every event, and the obstacle beside it."""
    parties: dict[str, list[str]] = field(default_factory=dict)
    """Who may see each id."""
    _breached: set[tuple[str, str]] = field(default_factory=set)

    def happenings(self) -> Iterator[Happening]:
        """Without end: every scope in turn."""
        number = 0
        while True:
            for scope in self.scopes:
                number += 1
                yield from escalation(scope, closes=number % 2 == 0)
                yield from missed_metric(scope)

    async def publish(self, happening: Happening) -> None:
        """Returns when it is on the bus."""
        now, origin = datetime.now(UTC), {"source": "/services/test"}
        about = happening.aggregate, happening.version, happening.scope
        row = event_row(happening.event, *about, now, origin)
        event, orgs = str(row["event_id"]), happening.orgs
        for seen in (event, str(happening.aggregate)):
            self.parties[seen] = [str(org) for org in orgs]
        for org in orgs:
            self._expect(happening, event, org)
        key = str(happening.aggregate).encode()
        headers = {"event_id": event, "event_type": row["event_type"], "event_time": rfc3339(now)}
        message = Outgoing(row["topic"], key, row["payload"], headers)
        self.published[event] = self.beside
        while not await self._is_on_the_bus(message):
            await asyncio.sleep(0.1)

    async def _is_on_the_bus(self, message: Outgoing) -> bool:
        """False when nobody knows; to publish it again is harmless."""
        try:
            producer = await self.bus.producer()
            try:
                await producer.publish([message])
            finally:
                await producer.close()
        except LOST:
            return False
        return True

    def expect_evidence(self, event: str, envelope: Mapping[str, str], takes_events: Collection[str]) -> None:
        """A checkpoint of the notifier's own audit trail goes to its parties' endpoints that take events as they are."""
        sides = {"customer": envelope.get("customerorgid"), "provider": envelope.get("providerorgid")}
        shown = sides if envelope["visibility"] == "shared" else (envelope["visibility"],)
        self.parties[event] = [org for side in shown if (org := sides[side])]
        for org in self.parties[event]:
            for endpoint in self.listeners(UUID(org)):
                if endpoint in takes_events:
                    self.history.note("subscribed", endpoint=endpoint, event=event)

    def _expect(self, happening: Happening, event: str, org: UUID) -> None:
        for endpoint in self.listeners(org):
            self.history.note("subscribed", endpoint=endpoint, event=event)
        if happening.breach:
            rule, window = happening.breach[0], f"{org}/{happening.breach[1]}"
            if (rule, window) not in self._breached:
                self._breached.add((rule, window))
                self.history.note("breach", rule=rule, window=window)
