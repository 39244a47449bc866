"""Writing an event: in the transaction that made it true, as the exact text every later hop passes on."""

from collections.abc import Mapping
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
CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"
WAKE_UP: Final = "outbox"
"""The relay's wake-up, given after the commit of a transaction that wrote events."""

INSERT: Final = text(
    """
    INSERT INTO outbox (event_id, topic, aggregate_type, aggregate_id, aggregate_version, event_type,
                        payload, headers, shard)
    VALUES (:event_id, :topic, :aggregate_type, :aggregate_id, :version, :type,
            :payload, CAST(:headers AS jsonb), :shard)
    """
)


async def emit(
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
    """Publish `event` if and only if this transaction commits; returns the event's id.

    `version` is the version of the aggregate this change left behind, so lock or compare-and-swap the aggregate
    before; one version carries one event. Refuses `event_too_large` above 256 KiB, which a broker would never take.
    """
    origin = {
        "actorid": actor_id,
        "actorrole": actor_role,
        "correlationid": correlation_id,
        "causationid": causation_id,
        "traceparent": traceparent,
    }
    row = outbox_row(event, aggregate_id, version, scope, {"source": source, "time": rfc3339(now)} | origin)
    # The unit of work orders statements by mapper, not by call: without this flush the position would be
    # taken before the aggregate's row is locked, and two writers could publish in the wrong order.
    await session.flush()
    await session.execute(INSERT, row)
    wake_after_commit(session, WAKE_UP)
    event_id: UUID = row["event_id"]
    return event_id


def outbox_row(
    event: Event, aggregate_id: UUID, version: int, scope: Scope, origin: Mapping[str, str | None]
) -> dict[str, Any]:
    """The parameters of `INSERT`; `origin` holds the CloudEvents attributes that say where it comes from."""
    context = _context(event, aggregate_id, version, scope)
    context |= {name: value for name, value in origin.items() if value is not None}
    return _row(event, context, _serialise(context, event))


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


def _row(event: Event, context: dict[str, Any], payload: str) -> dict[str, Any]:
    return {
        "event_id": context["id"],
        "topic": event.TOPIC,
        "aggregate_type": event.AGGREGATE,
        "aggregate_id": context["subject"],
        "version": context["sequence"],
        "type": event.TYPE,
        "payload": payload,
        "headers": orjson.dumps(_headers(context)).decode(),
        "shard": shard_of(context["subject"]),
    }


def _serialise(context: dict[str, Any], event: Event) -> str:
    payload = orjson.dumps(context | {"data": event.model_dump(mode="json")}, default=str)
    if len(payload) > LARGEST_EVENT:
        raise Refused(
            "event_too_large", f"the event is {len(payload)} bytes long; at most {LARGEST_EVENT} fit"
        )
    return payload.decode()


def _headers(context: dict[str, Any]) -> dict[str, str]:
    """The attributes a reader may want without parsing the value (CloudEvents Kafka binding 3.3)."""
    headers = {
        f"event_{name}": str(context[name])
        for name in ("specversion", "id", "source", "type", "subject", "time")
    }
    trace = {"traceparent": str(context["traceparent"])} if "traceparent" in context else {}
    return {"content-type": CONTENT_TYPE, **headers, **trace}
