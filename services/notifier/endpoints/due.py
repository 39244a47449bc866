"""Housekeeping of endpoints: secrets whose time is over, secrets under an old key."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints.models import EndpointSecret
from services.notifier.endpoints.service.secrets import rewrap
from services.notifier.endpoints.service.vault import CannotUnseal, Vault
from shared.runtime.timers import Timer

log = structlog.get_logger()

BATCH = 50


async def forget_old_secrets(session: AsyncSession, now: datetime) -> int:
    """Secrets whose overlap ended sign nothing any more."""
    gone = await session.scalars(
        delete(EndpointSecret).where(EndpointSecret.expires_at <= now).returning(EndpointSecret.id)
    )
    return len(gone.all())


def timers(vault: Vault) -> tuple[Timer, ...]:
    """The timers of secrets; re-wrapping needs the vault."""

    async def rewrap_secrets(session: AsyncSession, now: datetime) -> int:
        """Seal again what another key we know sealed; what does not open is left where it is, and said."""
        known = set(vault.key_ids) - {vault.current_key_id}
        unread = UUID(int=0)
        while rows := await _sealed_by(session, known, after=unread):
            for row in rows:
                _rewrap(vault, row)
            unread = rows[-1].id
            await session.flush()
        return 0

    return (
        Timer("secret_expiry", timedelta(minutes=5), forget_old_secrets),
        Timer("secret_rewrap", timedelta(minutes=5), rewrap_secrets),
    )


async def _sealed_by(
    session: AsyncSession, key_ids: Collection[str], after: UUID
) -> Sequence[EndpointSecret]:
    result = await session.scalars(
        select(EndpointSecret)
        .where(EndpointSecret.key_id.in_(key_ids), EndpointSecret.id > after)
        .order_by(EndpointSecret.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    return result.all()


def _rewrap(vault: Vault, row: EndpointSecret) -> None:
    try:
        rewrap(vault, row)
    except CannotUnseal as error:
        log.error("secret_not_opened", endpoint=str(row.endpoint_id), exc_info=error)
