"""Housekeeping of endpoints: secrets whose time is over, secrets under an old key."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints.models import EndpointSecret
from services.notifier.endpoints.service.secrets import rewrap
from services.notifier.endpoints.service.vault import Vault
from shared.runtime.timers import Timer

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
        rows = await session.scalars(
            select(EndpointSecret)
            .where(EndpointSecret.key_id != vault.current_key_id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        return sum(rewrap(vault, row) for row in rows.all())

    return (
        Timer("secret_expiry", timedelta(minutes=5), forget_old_secrets),
        Timer("secret_rewrap", timedelta(minutes=5), rewrap_secrets),
    )
