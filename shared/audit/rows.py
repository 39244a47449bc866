"""The audit trail: one append-only row per act, written in the transaction of the act itself.

The canonical text is what a later sealer hashes into the chain; it is stored as it was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Scope, rfc3339
from shared.pure.canonical import canonical_json
from shared.web.authz import NOBODY, Actor, Principal


@dataclass(frozen=True)
class Entry:
    """One line of a resource's timeline: an act, who did it, and the version it left."""

    resource_id: UUID
    version: int
    at: datetime
    action: str
    actor_name: str
    actor_id: UUID | None
    detail: Mapping[str, Any]


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
    """Who did what to which version of what, and when (NIST SP 800-53 AU-3), for an act that changes no version."""
    about = {"type": object_type, "id": object_id, "version": object_version}
    chain = scope.charter_id or owner
    await session.execute(
        INSERT,
        {
            "chain": chain,
            "customer": scope.customer_org_id,
            "provider": scope.provider_org_id,
            "visibility": scope.visibility,
            "at": now,
            "action": action,
            **{f"object_{name}": value for name, value in about.items()},
            "canonical": canonical(actor(by), action, about, chain, now, detail),
        },
    )


def canonical(
    who: Mapping[str, object],
    action: str,
    about: Mapping[str, object],
    chain: UUID,
    now: datetime,
    detail: Mapping[str, object],
) -> str:
    """The text of one row, which is what gets hashed; `who` is `actor`'s, `about` the object's type, id and version.

    Acts are chained per charter, acts under none per organization that owns the object, the platform's own
    (`NOBODY`) apart.
    """
    return canonical_json(
        {
            "action": action,
            "actor": who,
            "at": rfc3339(now),
            "chain": chain,
            "detail": detail,
            "object": about,
        }
    )


def actor(by: Actor) -> dict[str, object]:
    """Who acted, by every name that may be asked for later; `name` as it was then."""
    if not isinstance(by, Principal):
        return {"kind": "system", "name": by.display_name}
    return {
        "kind": "sysadmin" if by.is_sysadmin else "member",
        "name": by.display_name,
        "member": by.member_id,
        "org": by.org_id,
        "roles": sorted(by.roles),
        "subject": by.subject,
        "issuer": by.issuer,
    }
