"""The secrets of an endpoint: made, sealed, rotated, opened for one attempt, destroyed."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints import queries
from services.notifier.endpoints.domain import Purpose
from services.notifier.endpoints.models import Endpoint, EndpointSecret
from services.notifier.endpoints.service.vault import Place, Sealed, Vault
from shared.pure.signing import new_secret

Stored = EndpointSecret | Row[Any]


class Keyring:
    """The secrets of one endpoint, for the deliveries claimed with it; opened when the first of them is sent."""

    def __init__(self, vault: Vault, sealed: Sequence[Row[Any]]) -> None:
        self._vault = vault
        self._sealed = sealed

    @cached_property
    def signing(self) -> tuple[str, ...]:
        """Newest first. Raises `CannotUnseal`."""
        return self._opened(Purpose.signing)

    @cached_property
    def authorization(self) -> str | None:
        """The header its receiver asks for, if it does. Raises `CannotUnseal`."""
        return next(iter(self._opened(Purpose.authorization)), None)

    def _opened(self, purpose: Purpose) -> tuple[str, ...]:
        return tuple(_unsealed(self._vault, row) for row in self._sealed if row.purpose is purpose)


async def keyrings(
    session: AsyncSession, vault: Vault, endpoint_ids: Collection[UUID], now: datetime
) -> dict[UUID, Keyring]:
    """The secrets in force of each endpoint."""
    sealed: dict[UUID, list[Row[Any]]] = {endpoint_id: [] for endpoint_id in endpoint_ids}
    for row in await queries.active_secrets(session, endpoint_ids, now) if endpoint_ids else ():
        sealed[row.endpoint_id].append(row)
    return {endpoint_id: Keyring(vault, rows) for endpoint_id, rows in sealed.items()}


async def rotate_signing_secret(
    session: AsyncSession, vault: Vault, endpoint: Endpoint, overlap: timedelta, now: datetime
) -> str:
    """A new signing secret, shown to its owner this once; older ones keep signing for `overlap`."""
    secret = new_secret()
    await _end(session, endpoint.id, Purpose.signing, now + overlap)
    await _keep(session, vault, endpoint, Purpose.signing, secret, now)
    endpoint.secret_last4 = secret[-4:]
    return secret


async def set_authorization(
    session: AsyncSession, vault: Vault, endpoint: Endpoint, value: str | None, now: datetime
) -> None:
    """Replace the `Authorization` header the endpoint's receiver asks for; None removes it."""
    await session.execute(
        delete(EndpointSecret).where(
            EndpointSecret.endpoint_id == endpoint.id, EndpointSecret.purpose == Purpose.authorization
        )
    )
    endpoint.has_authorization = value is not None
    if value is not None:
        await _keep(session, vault, endpoint, Purpose.authorization, value, now)


async def destroy(session: AsyncSession, endpoint_id: UUID) -> None:
    await session.execute(delete(EndpointSecret).where(EndpointSecret.endpoint_id == endpoint_id))


async def _keep(
    session: AsyncSession, vault: Vault, endpoint: Endpoint, purpose: Purpose, secret: str, now: datetime
) -> None:
    version = await queries.newest_secret_version(session, endpoint.id, purpose) + 1
    place = Place(org_id=endpoint.org_id, endpoint_id=endpoint.id, version=version, purpose=purpose)
    sealed = vault.seal(secret, place)
    row = EndpointSecret(
        endpoint_id=endpoint.id,
        org_id=endpoint.org_id,
        purpose=purpose,
        secret_version=version,
        key_id=sealed.key_id,
        nonce=sealed.nonce,
        ciphertext=sealed.ciphertext,
        last4=secret[-4:] if purpose is Purpose.signing else "",
        created_at=now,
    )
    session.add(row)
    await session.flush()


async def _end(session: AsyncSession, endpoint_id: UUID, purpose: Purpose, at: datetime) -> None:
    """Secrets still in force end at `at`, unless they end earlier."""
    still = EndpointSecret.expires_at.is_(None) | (EndpointSecret.expires_at > at)
    await session.execute(
        update(EndpointSecret)
        .where(EndpointSecret.endpoint_id == endpoint_id, EndpointSecret.purpose == purpose, still)
        .values(expires_at=at)
        .execution_options(synchronize_session=False)
    )


def _place(row: Stored) -> Place:
    return Place(
        org_id=row.org_id, endpoint_id=row.endpoint_id, version=row.secret_version, purpose=row.purpose
    )


def _sealed(row: Stored) -> Sealed:
    return Sealed(key_id=row.key_id, nonce=row.nonce, ciphertext=row.ciphertext)


def _unsealed(vault: Vault, row: Stored) -> str:
    return vault.unseal(_sealed(row), _place(row))


def rewrap(vault: Vault, row: EndpointSecret) -> bool:
    """Seal a secret again under the current key; whether that was needed."""
    if vault.is_current(_sealed(row)):
        return False
    sealed = vault.rewrap(_sealed(row), _place(row))
    row.key_id, row.nonce, row.ciphertext = sealed.key_id, sealed.nonce, sealed.ciphertext
    return True
