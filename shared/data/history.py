"""One history: what every act leaves behind, and the timeline of a resource read back from it.

`record` is the one way to write: a new version, an audit row, and an event where others act on it; all or none.
The timeline of a resource is its audit rows, so there is no second copy that could drift.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.audit import rows as audit
from shared.audit.rows import Entry as Entry
from shared.contracts.base import Event
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


_COLUMNS: Final = outbox.COLUMNS | {
    "chain": "uuid",
    "object_type": "text",
    "action": "text",
    "canonical": "text",
}
_RECORD: Final = text(
    f"""
    WITH {outbox.acts_of(_COLUMNS)},
    audited AS (
      INSERT INTO audit (chain, customer_org_id, provider_org_id, visibility, at, action,
                         object_type, object_id, object_version, canonical)
      SELECT chain, customer_org_id, provider_org_id, visibility, :at, action,
             object_type, aggregate_id, version, canonical
        FROM act ORDER BY nth),
    {outbox.WRITE}
    """
)
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
    return await record_all(transaction, [(row, acts)], by=by, now=now)


async def record_all(
    transaction: AsyncSession | Direct,
    changes: Sequence[tuple[Versioned, Sequence[Act]]],
    *,
    by: Actor,
    now: datetime,
) -> list[Entry]:
    """Write down what was done to several rows, as `record` does for one."""
    left = [_Left(_service(transaction), row, acts, by, now) for row, acts in changes]
    if isinstance(transaction, Direct):
        for each in left:
            each.gather(transaction)
    elif left:
        await _write(transaction, left, now)
    return [entry for each in left for entry in each.entries()]


async def timeline(session: AsyncSession, *resource_ids: UUID) -> list[Entry]:
    """What happened to one or several resources, oldest first, as far as the caller may see it (row-level
    security of `audit`)."""
    return [_read(line) for line in await session.execute(_TIMELINE, {"ids": list(resource_ids)})]


def _service(transaction: AsyncSession | Direct) -> str:
    return transaction.service if isinstance(transaction, Direct) else service_of(transaction)


async def _write(session: AsyncSession, left: Sequence["_Left"], now: datetime) -> None:
    await session.flush()
    lines = [act | event for each in left for act, event in each.lines()]
    moment = {"at": now, "traceparent": current_traceparent()}
    await session.execute(_RECORD, outbox.arrays(lines, _COLUMNS) | moment)
    if any("event_id" in line for line in lines):
        wake_after_commit(session, outbox.WAKE_UP)


class _Left:
    """What one request or message leaves behind of a row, which it brings to its new version."""

    def __init__(self, service: str, row: Versioned, acts: Sequence[Act], by: Actor, now: datetime) -> None:
        self._row, self._now, self._scope = row, now, row.scope
        self._actor = audit.actor(by)
        self._origin = _origin(service, by) | {"traceparent": current_traceparent()}
        self._chain = self._scope.charter_id or row.owner
        self._numbered = [(row.version + nth, act) for nth, act in enumerate(acts, 1)]
        if row.version == 0:
            row.created_at = now
        row.version += len(acts)
        row.updated_at = now

    def gather(self, transaction: Direct) -> None:
        """The row, its audit rows and its events, for the one statement of a direct transaction."""
        row = self._row
        transaction.add_new(row)
        concerns = self._scope.columns() | {"at": self._now}
        of_event = concerns | {"aggregate_id": row.id, "traceparent": self._origin["traceparent"]}
        of_audit = concerns | {"chain": self._chain, "object_type": row.aggregate, "object_id": row.id}
        del of_audit["charter_id"]  # an audit row has its chain instead
        for act, event in self.lines():
            written = {"action": act["action"], "canonical": act["canonical"]}
            transaction.add("audit", of_audit | written | {"object_version": act["version"]})
            if event:
                transaction.add("event", of_event | event | {"aggregate_version": act["version"]})
                transaction.add("outbox", {"event_id": event["event_id"], "shard": act["shard"]})
                transaction.wake_ups.add(outbox.WAKE_UP)

    def lines(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """What each act writes: its audit row, and its event if it has one."""
        row = self._row
        for version, act in self._numbered:
            about = {"type": row.aggregate, "id": row.id, "version": version}
            text = audit.canonical(self._actor, act.action, about, self._chain, self._now, act.detail)
            written = {
                "chain": self._chain,
                "object_type": row.aggregate,
                "action": act.action,
                "canonical": text,
            }
            yield outbox.place_of(row.id, version, self._scope) | written, self._event(act, version)

    def _event(self, act: Act, version: int) -> dict[str, Any]:
        if act.event is None:
            return {}
        return outbox.event_row(act.event, self._row.id, version, self._scope, self._now, self._origin)

    def entries(self) -> Iterator[Entry]:
        """The lines of the row's timeline."""
        for version, act in self._numbered:
            yield _entry(self._row.id, version, self._now, act.action, self._actor, act.detail)


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
