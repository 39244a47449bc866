"""One history: what every act leaves behind, and the timeline of a resource read back from it.

`record` is the one way to write: a new version, an audit row, and an event where others act on it; all or none.
The timeline of a resource is its audit rows, so there is no second copy that could drift.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import rows as audit
from shared.audit.rows import Entry as Entry
from shared.contracts.base import Event, shard_of
from shared.data.direct import Direct
from shared.data.session import Versioned, service_of, wake_after_commit
from shared.messaging import outbox
from shared.runtime.telemetry import current_traceparent
from shared.web.authz import Actor, Principal


@dataclass(frozen=True)
class Act:
    """One thing done to a row.

    `event` is what other services learn of it, None where nobody else acts on it. `detail` is kept in the audit row:
    what a reader of the timeline needs and the row itself will not say later (the state it led to, a note).
    """

    action: str
    event: Event | None = None
    detail: Mapping[str, object] = field(default_factory=dict)


_COLUMNS: Final = outbox.COLUMNS | {"action": "text", "canonical": "text"}
_RECORD: Final = text(
    f"""
    WITH {outbox.acts_of(_COLUMNS)},
    audited AS (
      INSERT INTO audit (chain, customer_org_id, provider_org_id, visibility, at, action,
                         object_type, object_id, object_version, canonical)
      SELECT :chain, :customer, :provider, :visibility, :at, action, :aggregate, :id, version, canonical
        FROM act ORDER BY nth),
    {outbox.WRITE}
    """
)
_EVENT_COLUMNS: Final = ("event_id", "topic", "source", "event_type", "aggregate_type", "payload")
# A row's acts are audited under its lock, so the order of the ids is that of its versions.
_TIMELINE: Final = text(
    "SELECT object_id, object_version, at, action, canonical FROM audit WHERE object_id = ANY(:ids) ORDER BY id"
)


async def record(
    transaction: AsyncSession | Direct, row: Versioned, *acts: Act, by: Actor, now: datetime
) -> list[Entry]:
    """Write down what one request or message did to a row, in order; every act is a version of its own.

    A session flushes the row under its new version, then writes audit rows and events in one statement. In a direct
    transaction the row is a new one, and all is gathered for its one statement. Returns the lines the acts add to
    the row's timeline.
    """
    before = row.version
    _advance(row, len(acts), now)
    versions = range(before + 1, row.version + 1)
    if isinstance(transaction, Direct):
        _gather(transaction, row, acts, versions, by, now)
    else:
        await _write(transaction, row, acts, versions, by, now)
    actor = audit.actor(by)
    return [
        _entry(row.id, version, now, act.action, actor, act.detail)
        for version, act in zip(versions, acts, strict=True)
    ]


async def timeline(session: AsyncSession, *resource_ids: UUID) -> list[Entry]:
    """What happened to one or several resources, oldest first, as far as the caller may see it (row-level
    security of `audit`)."""
    return [_read(line) for line in await session.execute(_TIMELINE, {"ids": list(resource_ids)})]


def _advance(row: Versioned, versions: int, now: datetime) -> None:
    if row.version == 0:
        row.created_at = now
    row.version += versions
    row.updated_at = now


async def _write(
    session: AsyncSession,
    row: Versioned,
    acts: Sequence[Act],
    versions: Sequence[int],
    by: Actor,
    now: datetime,
) -> None:
    await session.flush()
    await session.execute(_RECORD, _parameters(service_of(session), row, acts, versions, by, now))
    if any(act.event for act in acts):
        wake_after_commit(session, outbox.WAKE_UP)


def _gather(
    transaction: Direct,
    row: Versioned,
    acts: Sequence[Act],
    versions: Sequence[int],
    by: Actor,
    now: datetime,
) -> None:
    """The row, its audit rows and its events, for the one statement of a direct transaction."""
    transaction.add_new(row)
    left = _Left(transaction.service, row, by, now)
    of_audit = {"chain": left.chain, "object_type": left.aggregate, "object_id": row.id} | left.concerns
    of_event = {"aggregate_id": row.id, "charter_id": left.scope.charter_id, "traceparent": left.trace}
    for act, version in zip(acts, versions, strict=True):
        line = left.line(act, version)
        written = {"object_version": version, "action": act.action, "canonical": line["canonical"]}
        transaction.add("audit", of_audit | written)
        if act.event is not None:
            event = {name: line[name] for name in _EVENT_COLUMNS}
            transaction.add("event", left.concerns | of_event | event | {"aggregate_version": version})
            transaction.add("outbox", {"event_id": line["event_id"], "shard": shard_of(row.id)})
            transaction.wake_ups.add(outbox.WAKE_UP)


def _parameters(
    service: str, row: Versioned, acts: Sequence[Act], versions: Sequence[int], by: Actor, now: datetime
) -> dict[str, object]:
    left = _Left(service, row, by, now)
    lines = [left.line(act, version) for act, version in zip(acts, versions, strict=True)]
    about = {"chain": left.chain, "aggregate": left.aggregate}
    return outbox.arrays(lines, _COLUMNS) | outbox.shared(row.id, left.scope, now, left.trace) | about


class _Left:
    """What one request or message leaves behind of a row: all that its acts have in common."""

    def __init__(self, service: str, row: Versioned, by: Actor, now: datetime) -> None:
        self.row_id, self.aggregate, self.scope, self.now = row.id, row.aggregate, row.scope, now
        self.chain = self.scope.charter_id or row.owner
        self.trace = current_traceparent()
        self.actor = audit.actor(by)
        self.origin = _origin(service, by) | {"traceparent": self.trace}
        self.concerns = {
            "customer_org_id": self.scope.customer_org_id,
            "provider_org_id": self.scope.provider_org_id,
            "visibility": self.scope.visibility,
            "at": now,
        }

    def line(self, act: Act, version: int) -> dict[str, object]:
        """What one act writes: the text of its audit row, and its event if it has one."""
        about = {"type": self.aggregate, "id": self.row_id, "version": version}
        canonical = audit.canonical(self.actor, act.action, about, self.chain, self.now, act.detail)
        line = {"version": version, "action": act.action, "canonical": canonical}
        if act.event is None:
            return line
        return line | outbox.event_row(act.event, self.row_id, version, self.scope, self.now, self.origin)


def _origin(service: str, by: Actor) -> dict[str, str | None]:
    """The CloudEvents attributes that say where an event comes from and whose act it was."""
    member = by if isinstance(by, Principal) else None
    return {
        "source": f"/services/{service}",
        "actorid": str(member.member_id) if member else "system",
        "actorrole": ",".join(sorted(member.roles)) if member else "system",
    }


def _read(line: Row[Any]) -> Entry:
    written = orjson.loads(line.canonical)
    about = (line.object_id, line.object_version, line.at, line.action)
    return _entry(*about, written["actor"], written["detail"])


def _entry(
    resource_id: UUID,
    version: int,
    at: datetime,
    action: str,
    actor: Mapping[str, Any],
    detail: Mapping[str, Any],
) -> Entry:
    member = actor.get("member")
    member_id = UUID(str(member)) if member else None
    return Entry(resource_id, version, at, action, actor["name"], member_id, detail)
