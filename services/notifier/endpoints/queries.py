"""Selects of endpoints that are worth a name."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints.domain import Purpose
from services.notifier.endpoints.models import Endpoint, EndpointSecret
from shared.data.listing import Listing
from shared.data.session import load, load_for_update
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


async def active_secrets(
    session: AsyncSession, endpoint_ids: Collection[UUID], now: datetime
) -> Sequence[EndpointSecret]:
    """Secrets in force, newest first."""
    found = await session.scalars(
        select(EndpointSecret)
        .where(
            EndpointSecret.endpoint_id.in_(endpoint_ids),
            EndpointSecret.expires_at.is_(None) | (EndpointSecret.expires_at > now),
        )
        .order_by(EndpointSecret.secret_version.desc())
    )
    return found.all()
