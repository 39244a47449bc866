"""The background sealer: chains new audit rows by hash, and signs checkpoints that leave the database.

Any number of processes may run it; an advisory lock lets one work at a time. Between insert and seal only the
runtime role's missing UPDATE and DELETE grants protect a row: that window is about a second.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit.chain import GENESIS, Chain, Checkpoint, Head, checkpoints, row_hash
from shared.audit.keys import KeyRing
from shared.contracts.audit import AuditCheckpointed
from shared.contracts.base import Scope, rfc3339
from shared.data.ids import uuid7
from shared.messaging.outbox import publish
from shared.runtime.timers import Timer

_ChainKey = tuple[UUID, str]
BATCH = 1000
CHECKPOINT_ROWS = 1000
CHECKPOINT_AGE = timedelta(minutes=5)
SEAL_EVERY = timedelta(seconds=1)
CHECKPOINT_EVERY = timedelta(seconds=15)

_LOCK = text(
    "SELECT pg_try_advisory_xact_lock(hashtext('concordat.audit_sealer'), hashtext(current_schema()))"
)
_UNSEALED = text(
    "SELECT id, chain, visibility, canonical FROM audit WHERE seq IS NULL ORDER BY id LIMIT :batch"
)
_LAST_SEALED = text(
    """
    SELECT wanted.chain, wanted.visibility, last.seq, last.hash
      FROM unnest(CAST(:chains AS uuid[]), CAST(:visibilities AS text[])) AS wanted (chain, visibility),
           LATERAL (SELECT seq, hash FROM audit
                     WHERE chain = wanted.chain AND visibility = wanted.visibility AND seq IS NOT NULL
                     ORDER BY seq DESC LIMIT 1) last
    """
)
_SEAL = text(
    """
    UPDATE audit SET seq = sealed.seq, hash = sealed.hash
      FROM unnest(CAST(:ids AS bigint[]), CAST(:seqs AS bigint[]), CAST(:hashes AS bytea[])) AS sealed (id, seq, hash)
     WHERE audit.id = sealed.id
    """
)
# The recursion hops from chain to chain in the index; the table grows for ever, the chains do not.
_HEADS = text(
    """
    WITH RECURSIVE known AS (
      (SELECT chain FROM audit ORDER BY chain LIMIT 1)
      UNION ALL
      SELECT (SELECT chain FROM audit WHERE chain > known.chain ORDER BY chain LIMIT 1) FROM known
       WHERE known.chain IS NOT NULL)
    SELECT head.*, signed.seq AS signed, waiting.at AS waiting_since
      FROM known, unnest(ARRAY['customer', 'provider', 'shared']) AS side (visibility),
           LATERAL (SELECT chain, visibility, seq, hash, customer_org_id, provider_org_id FROM audit
                     WHERE chain = known.chain AND visibility = side.visibility AND seq IS NOT NULL
                     ORDER BY seq DESC LIMIT 1) head
           CROSS JOIN LATERAL (SELECT coalesce(max(seq), 0) AS seq FROM audit_checkpoint
                     WHERE chain = head.chain AND visibility = head.visibility) signed
           LEFT JOIN LATERAL (SELECT at FROM audit
                     WHERE chain = head.chain AND visibility = head.visibility AND seq > signed.seq
                     ORDER BY seq LIMIT 1) waiting ON true
     ORDER BY head.chain, head.visibility
    """
)
_KEEP = text(
    """
    INSERT INTO audit_checkpoint (id, chain, customer_org_id, provider_org_id, visibility, seq, at,
                                  statement, signature, key_id)
    VALUES (:id, :chain, :customer, :provider, :visibility, :seq, :at, :statement, :signature, :key_id)
    """
)


class Sealer:
    """Seals and signs for one service."""

    def __init__(self, service: str, keys: KeyRing) -> None:
        self._service = service
        self._key = keys.signing
        self._key_id = keys.signing.public.key_id

    @property
    def timers(self) -> tuple[Timer, Timer]:
        return (
            Timer("audit_seal", SEAL_EVERY, self.seal),
            Timer("audit_checkpoint", CHECKPOINT_EVERY, self.checkpoint),
        )

    async def seal(self, session: AsyncSession, now: datetime) -> int:
        """Number and hash the oldest unsealed rows; how many. A full batch may owe a checkpoint at once."""
        if not await session.scalar(_LOCK):
            return 0
        rows = (await session.execute(_UNSEALED, {"batch": BATCH})).all()
        if not rows:
            return 0
        await session.execute(_SEAL, _links(rows, await _last_sealed(session, rows)))
        if len(rows) == BATCH:
            await self.checkpoint(session, now)
        return len(rows)

    async def checkpoint(self, session: AsyncSession, now: datetime) -> int:
        """Sign the head of every chain that is due, keep it and publish it; how many.

        Due are chains with a thousand unsigned rows, or whose oldest unsigned row is five minutes old.
        """
        if not await session.scalar(_LOCK):
            return 0
        rows = (await session.execute(_HEADS)).all()
        due = [index for index, row in enumerate(rows) if _is_due(row, now)]
        if not due:
            return 0
        heads = [Head(Chain(self._service, row.chain, row.visibility), row.seq, row.hash) for row in rows]
        made = checkpoints(heads, due, at=rfc3339(now), key_id=self._key_id)
        for index, checkpoint in zip(due, made, strict=True):
            await self._publish(session, rows[index], checkpoint, now)
        return len(due)

    async def _publish(
        self, session: AsyncSession, row: Row[Any], checkpoint: Checkpoint, now: datetime
    ) -> None:
        event = self._event(checkpoint)
        values = {
            "id": event.checkpoint_id,
            "chain": row.chain,
            "customer": row.customer_org_id,
            "provider": row.provider_org_id,
            "visibility": row.visibility,
            "seq": row.seq,
            "at": now,
            "statement": event.statement,
            "signature": b64decode(event.signature),
            "key_id": self._key_id,
        }
        await session.execute(_KEEP, values)
        await publish(
            session,
            event,
            aggregate_id=event.checkpoint_id,
            version=1,
            scope=_scope(row),
            source=f"/services/{self._service}",
            now=now,
            actor_id="system",
            actor_role="system",
        )

    def _event(self, checkpoint: Checkpoint) -> AuditCheckpointed:
        statement, chain = checkpoint.statement, checkpoint.head.chain
        return AuditCheckpointed(
            checkpoint_id=uuid7(),
            service=self._service,
            chain=chain.id,
            visibility=chain.visibility,
            seq=checkpoint.head.seq,
            hash=checkpoint.head.hash.hex(),
            root=checkpoint.root.hex(),
            statement=statement,
            signature=b64encode(self._key.sign(statement)).decode(),
            key_id=self._key_id,
        )


async def _last_sealed(session: AsyncSession, rows: Sequence[Row[Any]]) -> dict[_ChainKey, tuple[int, bytes]]:
    keys = sorted({(row.chain, row.visibility) for row in rows})
    wanted = {"chains": [chain for chain, _ in keys], "visibilities": [side for _, side in keys]}
    heads = await session.execute(_LAST_SEALED, wanted)
    return {(row.chain, row.visibility): (row.seq, row.hash) for row in heads}


def _links(rows: Sequence[Row[Any]], last: dict[_ChainKey, tuple[int, bytes]]) -> dict[str, list[object]]:
    """The seal of each row: its place in its chain, and the hash over its text and the row before."""
    links: dict[str, list[object]] = {"ids": [], "seqs": [], "hashes": []}
    for row in rows:
        seq, previous = last.get((row.chain, row.visibility), (0, GENESIS))
        link = (seq + 1, row_hash(previous, row.canonical))
        last[row.chain, row.visibility] = link
        for column, value in zip(links.values(), (row.id, *link), strict=True):
            column.append(value)
    return links


def _is_due(row: Row[Any], now: datetime) -> bool:
    if row.waiting_since is None:
        return False
    return bool(row.seq - row.signed >= CHECKPOINT_ROWS or now - row.waiting_since >= CHECKPOINT_AGE)


def _scope(row: Row[Any]) -> Scope:
    return Scope(
        charter_id=row.chain if row.customer_org_id else None,
        customer_org_id=row.customer_org_id,
        provider_org_id=row.provider_org_id,
        visibility=row.visibility,
    )
