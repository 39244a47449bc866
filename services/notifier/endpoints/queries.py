"""Selects of endpoints that are worth a name."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints.domain import Purpose
from services.notifier.endpoints.models import Endpoint, EndpointSecret
from shared.data.listing import Listing
from shared.data.session import EnumText, load, load_for_update
from shared.pure.refusal import Missing


def endpoints() -> Listing[Endpoint]:
    """Those that were not deleted."""
    return Listing(select(Endpoint).where(Endpoint.deleted_at.is_(None)), Endpoint)


async def find(session: AsyncSession, endpoint_id: UUID) -> Endpoint:
    return _present(await load(session, Endpoint, endpoint_id))


async def find_for_update(session: AsyncSession, endpoint_id: UUID, expected: int | None) -> Endpoint:
    return _present(await load_for_update(session, Endpoint, endpoint_id, expected))


def _present(endpoint: Endpoint) -> Endpoint:
    if endpoint.deleted_at is not None:
        raise Missing("endpoint")
    return endpoint


async def newest_secret_version(session: AsyncSession, endpoint_id: UUID, purpose: Purpose) -> int:
    """0 when the endpoint never had a secret for that purpose."""
    newest = await session.scalar(
        select(func.max(EndpointSecret.secret_version)).where(
            EndpointSecret.endpoint_id == endpoint_id, EndpointSecret.purpose == purpose
        )
    )
    return newest or 0


_ACTIVE_SECRETS = text(
    """
    SELECT endpoint_id, org_id, purpose, secret_version, key_id, nonce, ciphertext FROM endpoint_secret
     WHERE endpoint_id = ANY(:endpoints) AND (expires_at IS NULL OR expires_at > :now)
     ORDER BY secret_version DESC
    """
).columns(purpose=EnumText(Purpose))


async def active_secrets(
    session: AsyncSession, endpoint_ids: Collection[UUID], now: datetime
) -> Sequence[Row[Any]]:
    """Secrets in force as they are sealed, newest first; columns instead of objects, for the sender's sake."""
    result = await session.execute(_ACTIVE_SECRETS, {"endpoints": list(endpoint_ids), "now": now})
    return result.all()
