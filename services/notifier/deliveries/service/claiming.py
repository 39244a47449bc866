"""Takes due deliveries into this process's hands, fairly among endpoints, for a minute at a time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints import queries
from services.notifier.endpoints.models import EndpointSecret

LEASE = timedelta(seconds=60)
MOST_TESTS = 16

# Two claimers at once would overshoot the room of a lane.
_ONE_CLAIMER = text("SELECT pg_try_advisory_xact_lock(hashtext('concordat.notifier.claim'))")

# The room of a lane is `domain.health.room`, said in SQL. Lanes come in random order, so that none is
# starved when more is due than the batch holds; remembering the last turn would write every endpoint.
_CLAIM = text(
    """
    WITH lane AS MATERIALIZED (
      SELECT e.id,
             CASE WHEN e.circuit = 'open' THEN 1
                  WHEN e.throttled_until > :now THEN (e.max_in_flight + 1) / 2
                  ELSE e.max_in_flight END
             - (SELECT count(*) FROM delivery x
                 WHERE x.endpoint_id = e.id AND x.state = 'in_flight' AND x.lease_until > :now) AS room
        FROM endpoint e CROSS JOIN LATERAL (
             SELECT FROM delivery w
              WHERE w.endpoint_id = e.id AND w.state = 'pending' AND w.next_attempt_at <= :now
              ORDER BY w.next_attempt_at LIMIT 1) AS waiting
       WHERE e.enabled AND (e.circuit = 'closed' OR e.circuit_open_until <= :now)
       ORDER BY random()),
    tests AS (
      SELECT id FROM delivery WHERE is_test AND state = 'pending' AND next_attempt_at <= :now
       ORDER BY next_attempt_at LIMIT :tests FOR UPDATE SKIP LOCKED),
    due AS (
      SELECT d.id FROM lane CROSS JOIN LATERAL (
        SELECT id FROM delivery
         WHERE endpoint_id = lane.id AND state = 'pending' AND next_attempt_at <= :now AND NOT is_test
         ORDER BY next_attempt_at, id LIMIT greatest(lane.room, 0) FOR UPDATE SKIP LOCKED) d
       LIMIT :batch),
    picked AS (SELECT id FROM tests UNION ALL SELECT id FROM due)
    UPDATE delivery d
       SET state = 'in_flight', attempt = d.attempt + 1, lease_token = gen_random_uuid(),
           lease_until = :lease_until
      FROM picked, endpoint e
     WHERE d.id = picked.id AND e.id = d.endpoint_id
    RETURNING d.id, d.endpoint_id, d.org_id, d.lease_token, d.attempt, d.round_start, d.body,
              d.content_type, d.is_test, d.traceparent, e.url
    """
)


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A delivery in our hands until its lease ends; a result counts only with the lease's token."""

    id: UUID
    endpoint_id: UUID
    org_id: UUID
    lease_token: UUID
    attempt: int
    round_start: int
    body: str
    content_type: str
    is_test: bool
    traceparent: str | None
    url: str
    secrets: Sequence[EndpointSecret] = field(default=(), repr=False)


async def claim(session: AsyncSession, now: datetime, batch: int) -> list[Claimed]:
    """Up to `batch` due deliveries, their attempts already counted; none while another process claims."""
    if not await session.scalar(_ONE_CLAIMER):
        return []
    rows = (
        await session.execute(
            _CLAIM, {"now": now, "lease_until": now + LEASE, "batch": batch, "tests": min(batch, MOST_TESTS)}
        )
    ).all()
    secrets = defaultdict(list)
    for secret in await queries.active_secrets(session, {row.endpoint_id for row in rows}, now):
        secrets[secret.endpoint_id].append(secret)
    return [Claimed(**row._mapping, secrets=secrets[row.endpoint_id]) for row in rows]
