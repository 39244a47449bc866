"""Take in observations: streamed, in batches, idempotent by source, id and version."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.sla import policy
from services.sla.domain.observations import Observation, Pause, fingerprint
from services.sla.domain.parsing import RowError, parse_row
from services.sla.domain.rows import RowReader
from services.sla.models import Sla
from services.sla.schemas.slas import Ingested, IngestError
from services.sla.service.inputs import checking_input
from shared.audit import write_audit
from shared.authz import Principal, require
from shared.contracts.base import rfc3339
from shared.db import load
from shared.errors import Finding, Invalid

BATCH = 500
MOST_ERRORS = 1000

_COLUMNS = {
    "source": "text",
    "source_id": "text",
    "version": "bigint",
    "kind": "text",
    "service": "text",
    "occurred_at": "timestamptz",
    "ended_at": "timestamptz",
    "value": "numeric",
    "good": "boolean",
    "attributes": "text",
    "pauses": "text",
    "deleted": "boolean",
    "fingerprint": "text",
}
_NAMES = ", ".join(_COLUMNS)
_STORED = _NAMES.replace("attributes, pauses", "CAST(attributes AS jsonb), CAST(pauses AS jsonb)")
# One statement a batch. `held` and `newest` see the table as it was before the batch.
_INSERT = text(
    f"""
    WITH incoming ({_NAMES}) AS (
      SELECT * FROM unnest({", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _COLUMNS.items())})
    ), added AS (
      INSERT INTO observation (sla_id, received_at, received_by, charter_id, customer_org_id, provider_org_id,
                               visibility, {_NAMES})
      SELECT :sla_id, :now, :member, :charter, :customer, :provider, :visibility, {_STORED} FROM incoming
      ON CONFLICT DO NOTHING RETURNING source, source_id, version
    ), newest AS (
      SELECT source, source_id, max(o.version) AS newest
        FROM incoming JOIN observation o USING (source, source_id) WHERE o.sla_id = :sla_id
       GROUP BY source, source_id
    )
    SELECT i.source, i.source_id, a.version IS NOT NULL AS is_added, n.newest, o.fingerprint AS held
      FROM incoming i
      LEFT JOIN added a USING (source, source_id, version)
      LEFT JOIN newest n USING (source, source_id)
      LEFT JOIN observation o ON o.sla_id = :sla_id
        AND (o.source, o.source_id, o.version) = (i.source, i.source_id, i.version)
     WHERE a.version IS NULL OR n.newest IS NOT NULL
    """
)


class OnError(StrEnum):
    """With bad rows among them: keep the good ones, or refuse them all."""

    keep = "keep"
    refuse = "refuse"


@dataclass
class Tally:
    """What became of the rows so far."""

    received: int = 0
    accepted: int = 0
    duplicates: int = 0
    superseded: int = 0
    stale: int = 0
    rejected: int = 0
    errors: list[RowError] = field(default_factory=list)

    def reject(self, error: RowError) -> None:
        self.rejected += 1
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(error)


Key = tuple[str, str]
Pending = dict[Key, tuple[int, Observation]]


async def ingest(
    session: AsyncSession,
    caller: Principal,
    sla_id: UUID,
    reader: RowReader,
    chunks: AsyncIterator[bytes],
    on_error: OnError,
    now: datetime,
) -> Ingested:
    """Store the rows of a body as it arrives. Refuses all of it when the body itself cannot be read."""
    sla = await load(session, Sla, sla_id)
    require(caller, policy.WRITE_OBSERVATIONS, sla.scope)
    tally, pending = Tally(), Pending()
    with checking_input():
        async for chunk in chunks:
            await _take(session, caller, sla, reader.feed(chunk), tally, pending, now)
        await _take(session, caller, sla, reader.finish(), tally, pending, now)
    await _store(session, caller, sla, tally, pending, now)
    if tally.rejected and on_error is OnError.refuse:
        raise _refused(tally)
    await _audit(session, caller, sla, tally, now)
    return Ingested(**{**asdict(tally), "errors": [IngestError.model_validate(e) for e in tally.errors]})


async def _take(session, caller, sla, rows, tally, pending, now) -> None:
    for line, row in rows:
        tally.received += 1
        seen = row if isinstance(row, RowError) else parse_row(row, line)
        if isinstance(seen, RowError):
            tally.reject(seen)
            continue
        key = seen.source, seen.source_id
        if key in pending or len(pending) == BATCH:
            await _store(session, caller, sla, tally, pending, now)
        pending[key] = (line, seen)
