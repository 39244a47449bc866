"""Take in observations: streamed, in batches, idempotent by source, id and version."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.sla.observations import policy
from services.sla.observations.domain.observation import Observation, fingerprint
from services.sla.observations.domain.parsing import RowError, parse_row
from services.sla.observations.schemas import Ingested
from services.sla.observations.service.rows import Row, RowReader
from services.sla.slas.models import Sla
from shared.audit.rows import write_audit
from shared.data.session import load
from shared.pure.refusal import Finding, Invalid, checking_input
from shared.web.authz import Principal, require

BATCH = 500
Batch = dict[tuple[str, str], tuple[int, Observation]]
"""Line and content of each row, by source and its id there."""
MOST_REJECTED = 1000
"""Of an upload; with more, the body is not what it says it is, and nothing of it is taken."""
TURN = 250
"""Rows that are read at a stretch: about ten milliseconds in which nobody else has the event loop."""

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
# A plan made for any batch expects few rows and would look through the whole table for each of them.
_PLAN_EACH_BATCH = text("SET LOCAL plan_cache_mode = force_custom_plan")
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
    ), known AS (
      SELECT i.source, i.source_id, i.version,
             (SELECT max(o.version) FROM observation o
               WHERE o.sla_id = :sla_id AND (o.source, o.source_id) = (i.source, i.source_id)) AS newest,
             (SELECT o.fingerprint FROM observation o
               WHERE o.sla_id = :sla_id AND (o.source, o.source_id, o.version) = (i.source, i.source_id, i.version))
               AS held
        FROM incoming i
    )
    SELECT k.source, k.source_id, a.version IS NOT NULL AS is_added, k.newest, k.held
      FROM known k LEFT JOIN added a USING (source, source_id, version)
     WHERE a.version IS NULL OR k.newest IS NOT NULL
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
        self.errors.append(error)


async def ingest(
    session: AsyncSession,
    caller: Principal,
    sla_id: UUID,
    reader: RowReader,
    chunks: AsyncIterator[bytes],
    on_error: OnError,
    now: datetime,
) -> Ingested:
    """Store the rows of a body. Refuses all of it when it cannot be read, or has more than a thousand bad rows."""
    sla = await load(session, Sla, sla_id)
    require(caller, policy.WRITE_OBSERVATIONS, sla.scope)
    await session.execute(_PLAN_EACH_BATCH)
    async with Intake(session, caller, sla, now) as intake:
        with checking_input():
            async for chunk in chunks:
                await intake.take(reader.feed(chunk))
            # A JSON document is read here as a whole, which takes its time.
            await intake.take(await asyncio.to_thread(reader.finish))
        await intake.store()
    if intake.tally.rejected and on_error is OnError.refuse:
        message = f"{intake.tally.rejected} of {intake.tally.received} rows cannot be taken."
        raise _refused(intake.tally, "rows_rejected", message)
    await intake.audit()
    return Ingested.model_validate(intake.tally)


class Intake:
    """The rows of one upload on their way into the table, a batch at a time.

    While the database stores a batch, the rows of the next are read and checked. Leaving waits for the last.
    """

    def __init__(self, session: AsyncSession, caller: Principal, sla: Sla, now: datetime) -> None:
        self.tally = Tally()
        self._session = session
        self._caller = caller
        self._sla = sla
        self._now = now
        self._pending: Batch = {}
        self._storing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Whoever uses the session next must find it idle."""
        if kind is None:
            await self._settle()
        elif self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)

    async def take(self, rows: Iterable[Row]) -> None:
        """Check rows and store full batches; a batch never holds two versions of one key."""
        for line, row in rows:
            self.tally.received += 1
            if self.tally.received % TURN == 0:
                await asyncio.sleep(0)
            seen = row if isinstance(row, RowError) else parse_row(row, line)
            if isinstance(seen, RowError):
                self._reject(seen)
                continue
            key = (seen.source, seen.source_id)
            if key in self._pending or len(self._pending) == BATCH:
                await self.store()
            self._pending[key] = (line, seen)

    async def store(self) -> None:
        """Hand what is pending to the database, once it is done with the batch before."""
        batch, self._pending = self._pending, {}
        await self._settle()
        if batch:
            self._storing = asyncio.create_task(self._write(batch))
            await asyncio.sleep(0)  # so that the statement is on its way before more rows are read

    async def _settle(self) -> None:
        if self._storing is not None:
            await self._storing
            self._storing = None

    async def _write(self, batch: Batch) -> None:
        """Write a batch and count what became of it."""
        prints = {key: fingerprint(seen) for key, (_, seen) in batch.items()}
        rows = await self._session.execute(_INSERT, self._parameters(batch, prints))
        odd = {(row.source, row.source_id): row for row in rows}
        self.tally.accepted += len(batch) - len(odd)
        for key, row in odd.items():
            line, seen = batch[key]
            if row.is_added:
                self._count_version(seen.version, row.newest)
            elif row.held in (prints[key], None):
                self.tally.duplicates += 1
            else:
                message = f"Version {seen.version} is known with other content; send a later version."
                self._reject(RowError(line, "version", "version_conflict", message))

    def _reject(self, error: RowError) -> None:
        self.tally.reject(error)
        if self.tally.rejected > MOST_REJECTED:
            raise _refused(
                self.tally, "too_many_rejected", f"More than {MOST_REJECTED} rows cannot be taken."
            )

    async def audit(self) -> None:
        """Who brought in how many rows; the rows themselves name their batch by time and member."""
        counts = {name: value for name, value in vars(self.tally).items() if name != "errors"}
        await write_audit(
            self._session,
            by=self._caller,
            action=policy.WRITE_OBSERVATIONS.name,
            object_type="sla",
            object_id=self._sla.id,
            object_version=self._sla.version,
            scope=self._sla.scope,
            now=self._now,
            detail=counts,
        )

    def _count_version(self, version: int, newest: int) -> None:
        if version < newest:
            self.tally.stale += 1
        else:
            self.tally.accepted += 1
            self.tally.superseded += 1

    def _parameters(self, batch: Batch, prints: dict[tuple[str, str], str]) -> dict[str, object]:
        # In order of the key, so that two uploads of the same rows wait for each other and never deadlock.
        ordered = sorted(batch)
        rows = [_cells(batch[key][1]) | {"fingerprint": prints[key]} for key in ordered]
        return {name: [row[name] for row in rows] for name in _COLUMNS} | {
            "sla_id": self._sla.id,
            "now": self._now,
            "member": self._caller.member_id,
            "charter": self._sla.charter_id,
            "customer": self._sla.customer_org_id,
            "provider": self._sla.provider_org_id,
            "visibility": self._sla.visibility,
        }


def _cells(seen: Observation) -> dict[str, object]:
    own = {name: getattr(seen, name) for name in _COLUMNS if name != "fingerprint"}
    return own | {
        "kind": seen.kind.value,
        "attributes": orjson.dumps(seen.attributes).decode(),
        "pauses": orjson.dumps(seen.pauses).decode(),
    }


def _refused(tally: Tally, code: str, message: str) -> Invalid:
    findings = [Finding(e.code, f"Line {e.line}: {e.message}", f"/{e.line}/{e.field}") for e in tally.errors]
    return Invalid(
        code, f"{message} Nothing was stored; see errors for what is wrong with them.", findings=findings
    )
