"""Acts to audit, and the seal they get."""

import json
from base64 import b64decode
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from concordat.cli.verify import Findings, examine
from shared.audit.keys import KeyRing
from shared.audit.rows import write_audit
from shared.audit.sealer import Sealer
from shared.contracts.audit import AuditCheckpointed
from shared.contracts.base import Scope, Visibility
from shared.data.ids import uuid7
from shared.web.authz import SYSTEM
from tests.support.harness import RunningService


def ring(service: RunningService) -> KeyRing:
    return service.kernel.settings.audit_keys(service.name)


def sealer(service: RunningService) -> Sealer:
    return Sealer(service.name, ring(service))


def scope_of(
    service: RunningService, visibility: Visibility = "shared", charter: UUID | None = None
) -> Scope:
    known = service.world.scope
    return replace(known, visibility=visibility, charter_id=charter or service.world.charter_id)


async def act(
    service: RunningService, scope: Scope, times: int = 1, *, session: AsyncSession | None = None
) -> None:
    """Write audit rows as a use case does: in one transaction, the given one or one that commits."""
    async with nullcontext(session) if session else service.kernel.database.system() as writing:
        for _ in range(times):
            await write_audit(
                writing,
                by=SYSTEM,
                action="test.act",
                object_type="test",
                object_id=uuid7(),
                object_version=1,
                scope=scope,
                now=service.clock(),
                detail={"note": "as agreed, café"},
            )


async def seal(service: RunningService) -> int:
    async with service.kernel.database.system() as session:
        return await sealer(service).seal(session, service.clock())


async def checkpoint(service: RunningService) -> int:
    async with service.kernel.database.system() as session:
        return await sealer(service).checkpoint(session, service.clock())


async def chain_rows(service: RunningService, scope: Scope) -> list[Any]:
    """The rows of one chain in the order of their numbers, unsealed ones last."""
    async with service.kernel.database.system() as session:
        rows = await session.execute(
            text("SELECT * FROM audit WHERE chain = :chain AND visibility = :visibility ORDER BY seq, id"),
            {"chain": scope.charter_id or UUID(int=0), "visibility": scope.visibility},
        )
        return list(rows.all())


async def checkpoints_of(service: RunningService, scope: Scope) -> list[AuditCheckpointed]:
    events = await service.events(AuditCheckpointed)
    return [e for e in events if (e.chain, e.visibility) == (scope.charter_id, scope.visibility)]


def is_signed(service: RunningService, event: AuditCheckpointed) -> bool:
    return ring(service).signing.public.signed(event.statement, b64decode(event.signature))


async def exported(
    service: RunningService, folder: Path, member: str = "customer.isso", **params: object
) -> Path:
    """The export a member downloads, as a file."""
    answer = await service.get(
        member, f"/{service.name}/v1/audit/export", **{"charter_id": str(service.world.charter_id)} | params
    )
    assert answer.status_code == 200, answer.text
    path = folder / f"{uuid7()}.ndjson"
    path.write_bytes(answer.content)
    return path


def webhooks(folder: Path, events: list[dict[str, Any]]) -> Path:
    """The checkpoint events a party's ticketing system kept, one a line."""
    path = folder / f"{uuid7()}.ndjson"
    path.write_text("\n".join(json.dumps(event) for event in events))
    return path


def verdicts(findings: Findings) -> tuple[str, str]:
    return findings.report.integrity.state.value, findings.report.completeness.state.value


async def verified(service: RunningService, folder: Path, **params: object) -> tuple[str, str]:
    """Export, then judge the file: integrity and completeness."""
    return verdicts(examine(await exported(service, folder, **params)))  # type: ignore[arg-type]
