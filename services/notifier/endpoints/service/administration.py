"""Endpoints: where alerts go, kept by the organization that owns them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.alerts import service as alerts
from services.notifier.channels.webhook.domain.addresses import EgressPolicy
from services.notifier.channels.webhook.domain.templates import check_options, options_of, stored_options
from services.notifier.channels.webhook.service.urls import endpoint_url
from services.notifier.deliveries.service.owner import cancel_waiting
from services.notifier.endpoints.domain import Circuit, DisableReason, Health
from services.notifier.endpoints.models import Endpoint
from services.notifier.endpoints.queries import find_for_update
from services.notifier.endpoints.service import secrets
from services.notifier.endpoints.service.vault import Vault
from services.notifier.rules.domain import DISABLED, UNUSABLE, Opening, rendered
from shared.contracts.notifier import EndpointDisabled
from shared.data.history import Act, record
from shared.pure.refusal import Refused
from shared.web.authz import Principal

NO_OVERLAP = timedelta(0)
GIVEN = ("name", "url", "template", "template_options", "event_types", "least_priority", "max_in_flight")
"""What an endpoint's owner decides about it."""


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
    await record(session, endpoint, Act("endpoint.create", detail=_host(endpoint)), by=caller, now=now)
    return endpoint, secret


def _host(endpoint: Endpoint) -> dict[str, object]:
    """The host alone: operators read the trail too, and the rest of an address is often a secret."""
    return {"host": urlsplit(endpoint.url).hostname}


def _blank_health() -> dict[str, object]:
    return {
        "circuit": Circuit.closed,
        "circuit_trips": 0,
        "failures_in_a_row": 0,
        "configuration_failures": 0,
    }


def _checked(values: Mapping[str, Any], policy: EgressPolicy) -> dict[str, Any]:
    """The values as they are stored: one form of URL, options that fit the template; else `Invalid`."""
    check_options(values["template"], values["template_options"])
    return {
        **values,
        "url": endpoint_url(values["url"], policy),
        "event_types": list(values["event_types"]),
        "template_options": stored_options(values["template_options"]),
    }


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
    if not changes:
        return endpoint
    checked = _checked(_kept(endpoint, changes) | dict(changes), policy)
    moved = checked["url"] != endpoint.url
    for name, value in checked.items():
        setattr(endpoint, name, value)
    if moved:
        endpoint.health, endpoint.tested_at, endpoint.warned_at = Health(), None, None
    await _clear(session, UNUSABLE, endpoint, now)
    detail = {"changed": sorted(changes)} | (_host(endpoint) if moved else {})
    await record(session, endpoint, Act("endpoint.change", detail=detail), by=caller, now=now)
    return endpoint


def _kept(endpoint: Endpoint, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the owner gave before and does not change now."""
    kept = {name: getattr(endpoint, name) for name in GIVEN if name not in changes}
    if "template_options" in kept:
        kept["template_options"] = options_of(endpoint.template_options)
    return kept


async def remove(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, expected: int, now: datetime
) -> None:
    """Forget the secrets, cancel what waits; the log of past deliveries stays."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    endpoint.enabled, endpoint.deleted_at = False, now
    endpoint.has_authorization, endpoint.secret_last4 = False, ""
    await secrets.destroy(session, endpoint_id)
    await cancel_waiting(session, endpoint_id, now)
    await record(session, endpoint, Act("endpoint.delete"), by=caller, now=now)


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
    act = Act("endpoint.rotate_secret", detail={"overlap": str(overlap)})
    await record(session, endpoint, act, by=caller, now=now)
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
    act = Act("endpoint.set_authorization", detail={"set": value is not None})
    await record(session, endpoint, act, by=caller, now=now)
    return endpoint


async def enable(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, expected: int, now: datetime
) -> Endpoint:
    """Switch an endpoint on again; refused until a test delivery succeeded after it was switched off."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    if endpoint.enabled:
        raise Refused("already_enabled", "The endpoint is switched on.")
    if endpoint.tested_at is None or (endpoint.disabled_at and endpoint.tested_at < endpoint.disabled_at):
        raise Refused("test_required", "Send a test delivery first and wait until it succeeds.")
    endpoint.enabled, endpoint.disabled_at, endpoint.disabled_reason = True, None, None
    endpoint.health, endpoint.warned_at = Health(), None
    await record(session, endpoint, Act("endpoint.enable"), by=caller, now=now)
    await _clear(session, DISABLED, endpoint, now)
    return endpoint


async def _clear(session: AsyncSession, opening: Opening, endpoint: Endpoint, now: datetime) -> None:
    """What the owner was alerted of is settled."""
    key = rendered(opening.dedup_key, {"endpoint_id": endpoint.id})
    cause = alerts.Cause(event_type=EndpointDisabled.TYPE, subject_id=endpoint.id)
    await alerts.clear(session, [key], [endpoint.org_id], cause, now)


async def disable(
    session: AsyncSession, caller: Principal, endpoint_id: UUID, expected: int, now: datetime
) -> Endpoint:
    """Switch an endpoint off. What waits stays waiting; new alerts are not queued for it."""
    endpoint = await find_for_update(session, endpoint_id, expected)
    if not endpoint.enabled:
        raise Refused("already_disabled", "The endpoint is switched off.")
    endpoint.enabled, endpoint.disabled_at = False, now
    endpoint.disabled_reason = DisableReason.by_member
    event = EndpointDisabled(
        endpoint_id=endpoint.id, org_id=endpoint.org_id, reason=DisableReason.by_member.value
    )
    await record(session, endpoint, Act("endpoint.disable", event), by=caller, now=now)
    return endpoint
