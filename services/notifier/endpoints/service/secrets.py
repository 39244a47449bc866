"""The secrets of an endpoint: made, sealed, rotated, opened for one attempt, destroyed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints import queries
from services.notifier.endpoints.domain import Purpose
from services.notifier.endpoints.models import Endpoint, EndpointSecret
from services.notifier.endpoints.service.vault import Place, Sealed, Vault
from shared.pure.signing import new_secret


@dataclass(frozen=True)
class OpenSecrets:
    """What one attempt needs in plain text; it lives no longer than the attempt."""

    signing: tuple[str, ...] = ()
    authorization: str | None = None


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


def opened(vault: Vault, rows: Sequence[EndpointSecret]) -> OpenSecrets:
    """The secrets of one endpoint in plain text; `rows` newest first. Raises `CannotUnseal`."""
    signing = tuple(_unsealed(vault, row) for row in rows if row.purpose is Purpose.signing)
    others = [_unsealed(vault, row) for row in rows if row.purpose is Purpose.authorization]
    return OpenSecrets(signing, others[0] if others else None)


def _place(row: EndpointSecret) -> Place:
    return Place(
        org_id=row.org_id, endpoint_id=row.endpoint_id, version=row.secret_version, purpose=row.purpose
    )


def _sealed(row: EndpointSecret) -> Sealed:
    return Sealed(key_id=row.key_id, nonce=row.nonce, ciphertext=row.ciphertext)


def _unsealed(vault: Vault, row: EndpointSecret) -> str:
    return vault.unseal(_sealed(row), _place(row))


def rewrap(vault: Vault, row: EndpointSecret) -> bool:
    """Seal a secret again under the current key; whether that was needed."""
    if vault.is_current(_sealed(row)):
        return False
    sealed = vault.rewrap(_sealed(row), _place(row))
    row.key_id, row.nonce, row.ciphertext = sealed.key_id, sealed.nonce, sealed.ciphertext
    return True
