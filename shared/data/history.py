"""What every state change leaves behind: a new version, an audit row and an outbox row, all or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import rows as audit
from shared.contracts.base import Event, rfc3339
from shared.data.session import Versioned, announce
from shared.messaging import outbox
from shared.runtime.telemetry import current_traceparent
from shared.web.authz import Actor, Principal

_INSERT = text(f"WITH noted AS ({audit.INSERT.text}) {outbox.INSERT.text}")


@dataclass(frozen=True)
class Act:
    """One thing done to a row: what the audit trail and the other services hear of it."""

    action: str
    event: Event
    detail: Mapping[str, object] = field(default_factory=dict)


async def record(
    session: AsyncSession,
    *,
    by: Actor,
    action: str,
    row: Versioned,
    event: Event,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Bump the row's version, flush it, then write audit and event in this transaction."""
    await record_all(session, by=by, row=row, acts=[Act(action, event, detail or {})], now=now)


async def record_all(
    session: AsyncSession, *, by: Actor, row: Versioned, acts: Sequence[Act], now: datetime
) -> None:
    """Record what one request did to a row, in order; every act is a version of its own.

    The flush comes first: the outbox position must be taken after the row's lock
    (otherwise two writers of one aggregate could publish in the wrong order).
    """
    before = row.version
    await _advance(session, row, len(acts), now)
    left = [_left_by(act, by, row, version, now) for version, act in enumerate(acts, before + 1)]
    await session.execute(_INSERT, left)
    announce(session, outbox.NEWS)


async def note(
    session: AsyncSession,
    *,
    by: Actor,
    action: str,
    kind: str,
    row: Versioned,
    now: datetime,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Like `record`, for a change nobody else acts on: a new version and an audit row, but no event."""
    await _advance(session, row, 1, now)
    await audit.write_audit(
        session,
        by=by,
        action=action,
        object_type=kind,
        object_id=row.id,
        object_version=row.version,
        scope=row.scope,
        now=now,
        detail=detail or {},
        owner=row.owner,
    )


async def _advance(session: AsyncSession, row: Versioned, versions: int, now: datetime) -> None:
    if row.version == 0:
        row.created_at = now
    row.version += versions
    row.updated_at = now
    await session.flush()


def _left_by(act: Act, by: Actor, row: Versioned, version: int, now: datetime) -> dict[str, object]:
    """The audit row and the outbox row of one act, as parameters of one statement."""
    event, scope = act.event, row.scope
    about = {"type": event.AGGREGATE, "id": row.id, "version": version}
    member = by if isinstance(by, Principal) else None
    origin = {
        "source": f"/services/{event.TOPIC.removeprefix('concordat.')}",
        "time": rfc3339(now),
        "actorid": str(member.member_id) if member else "system",
        "actorrole": ",".join(sorted(member.roles)) if member else "system",
        "traceparent": current_traceparent(),
    }
    noted = audit.audit_row(by, act.action, about, scope, now, act.detail, row.owner)
    return noted | outbox.outbox_row(event, row.id, version, scope, origin)
