"""The audit trail: one append-only row per act, written in the transaction of the act itself.

The canonical text is what a later sealer hashes into the chain; it is stored as it was written.
"""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Scope, rfc3339
from shared.pure.canonical import canonical_json
from shared.web.authz import NOBODY, Actor, Principal

INSERT = text(
    """
    INSERT INTO audit (chain, customer_org_id, provider_org_id, visibility, at, action,
                       object_type, object_id, object_version, canonical)
    VALUES (:chain, :customer, :provider, :visibility, :at, :action,
            :object_type, :object_id, :object_version, :canonical)
    """
)


async def write_audit(
    session: AsyncSession,
    *,
    by: Actor,
    action: str,
    object_type: str,
    object_id: UUID,
    object_version: int,
    scope: Scope,
    now: datetime,
    detail: Mapping[str, object],
    owner: UUID = NOBODY,
) -> None:
    """Who did what to which version of what, and when (NIST SP 800-53 AU-3)."""
    about = {"type": object_type, "id": object_id, "version": object_version}
    await session.execute(INSERT, audit_row(by, action, about, scope, now, detail, owner))


def audit_row(
    by: Actor,
    action: str,
    about: Mapping[str, object],
    scope: Scope,
    now: datetime,
    detail: Mapping[str, object],
    owner: UUID,
) -> dict[str, object]:
    """The parameters of `INSERT`; `about` is the object's type, id and version.

    Acts are chained per charter, acts under none per organization that owns the object, the platform's own
    (`NOBODY`) apart.
    """
    chain = scope.charter_id or owner
    entry = {
        "action": action,
        "actor": _actor(by),
        "at": rfc3339(now),
        "chain": chain,
        "detail": dict(detail),
        "object": about,
    }
    return {
        "chain": chain,
        "customer": scope.customer_org_id,
        "provider": scope.provider_org_id,
        "visibility": scope.visibility,
        "at": now,
        "action": action,
        **{f"object_{name}": value for name, value in about.items()},
        "canonical": canonical_json(entry),
    }


def _actor(by: Actor) -> dict[str, object]:
    if not isinstance(by, Principal):
        return {"kind": "system"}
    return {
        "kind": "sysadmin" if by.is_sysadmin else "member",
        "member": by.member_id,
        "org": by.org_id,
        "roles": sorted(by.roles),
        "subject": by.subject,
        "issuer": by.issuer,
    }
