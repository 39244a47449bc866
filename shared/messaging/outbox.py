"""Writing an event: in the transaction that made it true, as the exact bytes every later hop passes on.

The `event` table keeps it for good, append-only; the `outbox` queue holds its place until it is published.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.contracts.base import Event, Scope, rfc3339, schema_uri, shard_of
from shared.data.ids import uuid7
from shared.data.session import wake_after_commit
from shared.pure.refusal import Refused

LARGEST_EVENT: Final = 256 * 1024
WAKE_UP: Final = "outbox"
"""The relay's wake-up, given after the commit of a transaction that wrote events."""

COLUMNS: Final = {
    "aggregate_id": "uuid",
    "version": "integer",
    "charter_id": "uuid",
    "customer_org_id": "uuid",
    "provider_org_id": "uuid",
    "visibility": "text",
    "shard": "smallint",
    "event_id": "uuid",
    "topic": "text",
    "source": "text",
    "aggregate_type": "text",
    "event_type": "text",
    "payload": "bytea",
}
"""What differs between events that are written at once, as arrays of these types."""

WRITE: Final = """
    archived AS (
      INSERT INTO event (position, event_id, topic, source, event_type, aggregate_type, aggregate_id,
                         aggregate_version, at, charter_id, customer_org_id, provider_org_id, visibility,
                         traceparent, payload)
      SELECT position, event_id, topic, source, event_type, aggregate_type, aggregate_id,
             version, :at, charter_id, customer_org_id, provider_org_id, visibility, :traceparent, payload
        FROM act WHERE event_id IS NOT NULL)
    INSERT INTO outbox (shard, position) SELECT shard, position FROM act WHERE event_id IS NOT NULL
"""
"""Archives and queues the events of the common table expression `act` (see `acts_of`)."""


def acts_of(columns: Mapping[str, str]) -> str:
    """The common table expression `act`: arrays by name and element type, unnested in their order.

    A position is given out for every event, in that order. The statement comes after the flush that locked the
    aggregates' rows, or two writers of one aggregate could publish in the wrong order.
    """
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    return f"""
    act AS (
      SELECT *, CASE WHEN event_id IS NOT NULL THEN nextval('event_position_seq') END AS position
        FROM unnest({arrays}) WITH ORDINALITY AS act ({", ".join(columns)}, nth) ORDER BY nth)
    """


_PUBLISH: Final = text(f"WITH {acts_of(COLUMNS)}, {WRITE}")


async def publish(
    session: AsyncSession,
    event: Event,
    *,
    aggregate_id: UUID,
    version: int,
    scope: Scope,
    source: str,
    now: datetime,
    actor_id: str | None = None,
    actor_role: str | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    traceparent: str | None = None,
) -> UUID:
    """Publish an event that is no act on a row (those go through `history.record`) if this transaction commits.

    `version` is the version of the aggregate this change left behind, so lock or compare-and-swap the aggregate
    before; one version carries one event. Refuses `event_too_large` above 256 KiB, which a broker would never take.
    Returns the event's id.
    """
    origin = {
        "source": source,
        "actorid": actor_id,
        "actorrole": actor_role,
        "correlationid": correlation_id,
        "causationid": causation_id,
        "traceparent": traceparent,
    }
    row = place_of(aggregate_id, version, scope)
    row |= event_row(event, aggregate_id, version, scope, now, origin)
    await session.flush()
    await session.execute(_PUBLISH, arrays([row], COLUMNS) | {"at": now, "traceparent": traceparent})
    wake_after_commit(session, WAKE_UP)
    event_id: UUID = row["event_id"]
    return event_id


def arrays(rows: Sequence[Mapping[str, object]], columns: Mapping[str, str]) -> dict[str, object]:
    """The rows as one array per column; what a row does not have is NULL."""
    return {name: [row.get(name) for row in rows] for name in columns}


def place_of(aggregate_id: UUID, version: int, scope: Scope) -> dict[str, Any]:
    """Those of `COLUMNS` that every act on an aggregate has, whether it is an event or not."""
    about = {"aggregate_id": aggregate_id, "version": version, "shard": shard_of(aggregate_id)}
    return about | scope.columns()


def event_row(
    event: Event,
    aggregate_id: UUID,
    version: int,
    scope: Scope,
    now: datetime,
    origin: Mapping[str, str | None],
) -> dict[str, Any]:
    """The others of `COLUMNS`; `origin` holds the CloudEvents attributes that say where the event comes from."""
    context = _context(event, aggregate_id, version, scope) | {"time": rfc3339(now)}
    context |= {name: value for name, value in origin.items() if value is not None}
    return {
        "event_id": context["id"],
        "topic": event.TOPIC,
        "source": context["source"],
        "aggregate_type": event.AGGREGATE,
        "event_type": event.TYPE,
        "payload": _serialise(context, event),
    }


def _context(event: Event, aggregate_id: UUID, version: int, scope: Scope) -> dict[str, Any]:
    """The CloudEvents attributes that say what happened to what, and whom it concerns."""
    parties = {
        "charterid": scope.charter_id,
        "customerorgid": scope.customer_org_id,
        "providerorgid": scope.provider_org_id,
    }
    return {
        "specversion": "1.0",
        "id": uuid7(),
        "type": event.TYPE,
        "subject": aggregate_id,
        "datacontenttype": "application/json",
        "dataschema": schema_uri(event.TYPE),
        "sequence": version,
        "visibility": scope.visibility,
    } | {name: value for name, value in parties.items() if value is not None}


def _serialise(context: dict[str, Any], event: Event) -> bytes:
    # As text from the class itself: Python objects in between would be made only to be written again.
    data = orjson.Fragment(event.__pydantic_serializer__.to_json(event))
    payload = orjson.dumps(context | {"data": data}, default=str)
    if len(payload) > LARGEST_EVENT:
        raise Refused(
            "event_too_large", f"the event is {len(payload)} bytes long; at most {LARGEST_EVENT} fit"
        )
    return payload
