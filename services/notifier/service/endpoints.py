"""Endpoints: where alerts go, kept by the organization that owns them."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.domain.addresses import EgressPolicy
from services.notifier.domain.alerts import AlertState, Change, Priority
from services.notifier.domain.health import Circuit, DisableReason, Health
from services.notifier.domain.rules import DISABLED, rendered
from services.notifier.domain.schedule import DeliveryState
from services.notifier.domain.templates import Template, TemplateOptions, Ticket, check_options
from services.notifier.metrics import DELIVERIES
from services.notifier.models import Delivery, Endpoint
from services.notifier.service import alerts, secrets
from services.notifier.service.fanout import NEWS, Message, new_delivery, options_of
from services.notifier.urls import endpoint_url
from services.notifier.vault import Vault
from shared.contracts.base import TYPE_PREFIX, rfc3339
from shared.contracts.notifier import EndpointDisabled
from shared.data.history import note, record
from shared.data.ids import uuid7
from shared.data.session import announce, load, load_for_update
from shared.pure.refusal import Refusal
from shared.web.authz import Principal
from shared.web.problems import Invalid, NotFound

KIND = EndpointDisabled.AGGREGATE
TEST_EVENT = TYPE_PREFIX + "notifier.test.v1"
NO_OVERLAP = timedelta(0)


async def create(
    session: AsyncSession,
    caller: Principal,
    vault: Vault,
    policy: EgressPolicy,
    values: Mapping[str, Any],
    authorization: str | None,
    now: datetime,
) -> tuple[Endpoint, str]:
    """The new endpoint and its signing secret, which is never shown again."""
    endpoint = Endpoint(
        org_id=caller.org_id,
        enabled=True,
        secret_last4="",
        has_authorization=False,
        created_at=now,
        updated_at=now,
        **_blank_health(),
        **_checked(values, policy),
    )
    session.add(endpoint)
    await session.flush()
    secret = await secrets.rotate_signing_secret(session, vault, endpoint, NO_OVERLAP, now)
    await secrets.set_authorization(session, vault, endpoint, authorization, now)
    # The host alone: operators read this trail too, and the rest of an address is often a secret.
    await _mark(session, caller, "endpoint.create", endpoint, now, host=urlsplit(endpoint.url).hostname)
    return endpoint, secret


def _blank_health() -> dict[str, object]:
    return {
        "circuit": Circuit.closed,
        "circuit_trips": 0,
        "failures_in_a_row": 0,
        "configuration_failures": 0,
    }


def _checked(values: Mapping[str, Any], policy: EgressPolicy) -> dict[str, Any]:
    """The values as they are stored: one form of URL, options that fit the template. 422 otherwise."""
    require_options(values["template"], values["template_options"])
    try:
        url = endpoint_url(values["url"], policy)
    except Refusal as refused:
        raise _invalid(refused) from None
    return {
        **values,
        "url": url,
        "event_types": list(values["event_types"]),
        "template_options": _stored(values["template_options"]),
    }


def require_options(template: Template, options: TemplateOptions) -> None:
    """422 unless the options make a body."""
    try:
        check_options(template, options)
    except Refusal as refused:
        raise _invalid(refused) from None


def _invalid(refused: Refusal) -> Invalid:
    """Bad input, not a rule that says no."""
    return Invalid(refused.code, refused.message, refused.pointer)


def _stored(options: TemplateOptions) -> dict[str, Any]:
    return asdict(options) | {
        "labels": list(options.labels),
        "priorities": {priority.value: name for priority, name in options.priorities.items()},
    }


async def find(session: AsyncSession, endpoint_id: UUID) -> Endpoint:
    return _present(await load(session, Endpoint, endpoint_id))


async def find_for_update(session: AsyncSession, endpoint_id: UUID, expected: int | None) -> Endpoint:
    return _present(await load_for_update(session, Endpoint, endpoint_id, expected))


def _present(endpoint: Endpoint) -> Endpoint:
    if endpoint.deleted_at is not None:
        raise NotFound("endpoint")
    return endpoint


async def change(
    session: AsyncSession,
    caller: Principal,
    policy: EgressPolicy,
    endpoint_id: UUID,
    changes: Mapping[str, Any],
    expected: int,
    now: datetime,
) -> Endpoint:
    """Change what the caller named. A new address starts with a clean record of health."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    checked = _checked(_as_given(endpoint) | dict(changes), policy)
    moved = checked["url"] != endpoint.url
    for name, value in checked.items():
        setattr(endpoint, name, value)
    if moved:
        endpoint.health, endpoint.tested_at, endpoint.warned_at = Health(), None, None
    await _mark(session, caller, "endpoint.change", endpoint, now, changed=sorted(changes))
    return endpoint


def _as_given(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "name": endpoint.name,
        "url": endpoint.url,
        "template": endpoint.template,
        "template_options": options_of(endpoint.template_options),
        "event_types": endpoint.event_types,
        "least_priority": endpoint.least_priority,
        "max_in_flight": endpoint.max_in_flight,
    }


async def remove(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, expected: int, now: datetime
) -> None:
    """Forget the secrets, cancel what waits; the log of past deliveries stays."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    endpoint.enabled, endpoint.deleted_at = False, now
    endpoint.has_authorization, endpoint.secret_last4 = False, ""
    await secrets.destroy(session, endpoint_id)
    cancelled = await session.execute(
        update(Delivery)
        .where(Delivery.endpoint_id == endpoint_id, Delivery.state == DeliveryState.pending)
        .values(state=DeliveryState.cancelled, next_attempt_at=None, updated_at=now)
        .returning(Delivery.id)
        .execution_options(synchronize_session=False)
    )
    DELIVERIES.labels(DeliveryState.cancelled.value).inc(len(cancelled.all()))
    await _mark(session, caller, "endpoint.delete", endpoint, now)


async def rotate_secret(
    session: AsyncSession,
    caller: Principal,
    vault: Vault,
    endpoint_id: UUID,
    overlap: timedelta,
    expected: int,
    now: datetime,
) -> tuple[Endpoint, str]:
    """A new signing secret; for `overlap` every message is signed with the old ones too."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    secret = await secrets.rotate_signing_secret(session, vault, endpoint, overlap, now)
    await _mark(session, caller, "endpoint.rotate_secret", endpoint, now, overlap=str(overlap))
    return endpoint, secret


async def replace_authorization(
    session: AsyncSession,
    caller: Principal,
    vault: Vault,
    endpoint_id: UUID,
    value: str | None,
    expected: int,
    now: datetime,
) -> Endpoint:
    """Set or remove the credentials its receiver asks for."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    await secrets.set_authorization(session, vault, endpoint, value, now)
    await _mark(session, caller, "endpoint.set_authorization", endpoint, now, set=value is not None)
    return endpoint


async def enable(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, expected: int, now: datetime
) -> Endpoint:
    """Switch an endpoint on again; refused until a test delivery succeeded after it was switched off."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    if endpoint.enabled:
        raise Refusal("already_enabled", "The endpoint is switched on.")
    if endpoint.tested_at is None or (endpoint.disabled_at and endpoint.tested_at < endpoint.disabled_at):
        raise Refusal("test_required", "Send a test delivery first and wait until it succeeds.")
    endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason = True, None, None
    endpoint.health, endpoint.warned_at = Health(), None
    await _mark(session, caller, "endpoint.enable", endpoint, now)
    key = rendered(DISABLED.dedup_key, {"endpoint_id": endpoint.id})
    cause = alerts.Cause(event_type=EndpointDisabled.TYPE, subject_id=endpoint.id)
    await alerts.clear(session, [key], [endpoint.org_id], cause, now)
    return endpoint


async def disable(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, expected: int, now: datetime
) -> Endpoint:
    """Switch an endpoint off. What waits stays waiting; new alerts are not queued for it."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    if not endpoint.enabled:
        raise Refusal("already_disabled", "The endpoint is switched off.")
    endpoint.enabled, endpoint.disabled_at = False, now
    endpoint.disabled_reason = DisableReason.by_member
    event = EndpointDisabled(
        endpoint_id=endpoint.id, org_id=endpoint.org_id, reason=DisableReason.by_member.value
    )
    await record(session, by=caller, action="endpoint.disable", row=endpoint, event=event, now=now)
    return endpoint


async def send_test(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, public_url: str, now: datetime
) -> Delivery:
    """Queue a sample message, sent once even while the endpoint is off or its circuit open."""
    endpoint = await find(session, endpoint_id)
    delivery = new_delivery(endpoint, _test_message(endpoint, now), sample_ticket(now, public_url), now)
    delivery.is_test, delivery.version = True, 0
    session.add(delivery)
    await note(session, by=caller, action="endpoint.test", row=delivery, kind="delivery", now=now)
    announce(session, NEWS)
    return delivery


def _test_message(endpoint: Endpoint, now: datetime) -> Message:
    event_id = uuid7()
    content = {
        "specversion": "1.0",
        "id": str(event_id),
        "source": "/services/notifier",
        "type": TEST_EVENT,
        "subject": str(endpoint.id),
        "time": rfc3339(now),
        "datacontenttype": "application/json",
        "data": {"endpoint_id": str(endpoint.id), "name": endpoint.name},
    }
    return Message(event_id=event_id, event_type=TEST_EVENT, content=content)


def sample_ticket(now: datetime, public_url: str) -> Ticket:
    """An alert that stands for none, for tests and previews."""
    content = {"specversion": "1.0", "type": TEST_EVENT, "data": {"title": "Sample"}}
    return Ticket(
        alert_id=UUID(int=0),
        rule="sample",
        title="Sample alert: please ignore",
        priority=Priority.normal,
        state=AlertState.open,
        opened_at=now,
        change=Change.opened,
        event=content,
        link=public_url,
    )


async def _mark(
    session: AsyncSession, caller: Principal, action: str, endpoint: Endpoint, now: datetime, **detail: object
) -> None:
    await note(session, by=caller, action=action, row=endpoint, kind=KIND, now=now, detail=detail)
