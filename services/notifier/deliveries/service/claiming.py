"""Takes due deliveries into this process's hands, fairly among endpoints, for a minute at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.notifier.endpoints.service import secrets
from services.notifier.endpoints.service.secrets import Keyring
from services.notifier.endpoints.service.vault import Vault

LEASE = timedelta(seconds=60)
MOST_TESTS = 16
NOTHING_AHEAD: Mapping[UUID, int] = {}

# Two claimers at once would overshoot the room of an endpoint.
_ONE_CLAIMER = text("SELECT pg_try_advisory_xact_lock(hashtext('concordat.notifier.claim'))")

# `width` is `endpoints.domain.room`, said in SQL. Beyond it a process may claim ahead for endpoints that answer fast,
# while it is the only one that holds deliveries of theirs. Those come last, the others in random order, so that none
# is starved when more is due than the batch holds; remembering the last turn would write every endpoint.
_CLAIM = text(
    """
    WITH ahead AS (SELECT * FROM unnest(CAST(:endpoints AS uuid[]), CAST(:aheads AS integer[]),
                                        CAST(:own AS integer[])) AS a(id, more, own)),
    candidate AS MATERIALIZED (
      SELECT e.id, a.more, coalesce(a.own, 0) AS own,
             CASE WHEN e.circuit = 'open' THEN 1
                  WHEN e.throttled_until > :now THEN (e.max_in_flight + 1) / 2
                  ELSE e.max_in_flight END AS width,
             (SELECT count(*) FROM delivery x
               WHERE x.endpoint_id = e.id AND x.state = 'in_flight' AND x.lease_until > :real_now) AS held
        FROM endpoint e LEFT JOIN ahead a ON a.id = e.id CROSS JOIN LATERAL (
             SELECT FROM delivery w
              WHERE w.endpoint_id = e.id AND w.state = 'pending' AND w.next_attempt_at <= :now
              ORDER BY w.next_attempt_at LIMIT 1) AS waiting
       WHERE e.enabled AND (e.circuit = 'closed' OR e.circuit_open_until <= :now)
       ORDER BY a.more IS NOT NULL, random()),
    tests AS (
      SELECT id FROM delivery WHERE is_test AND state = 'pending' AND next_attempt_at <= :now
       ORDER BY next_attempt_at LIMIT :tests FOR UPDATE SKIP LOCKED),
    due AS (
      SELECT d.id, c.width, room.room FROM candidate c CROSS JOIN LATERAL (
             SELECT greatest(c.width - c.held + CASE WHEN c.held = c.own THEN coalesce(c.more, 0) ELSE 0 END, 0)
                    AS room) AS room CROSS JOIN LATERAL (
             SELECT id FROM delivery
              WHERE endpoint_id = c.id AND state = 'pending' AND next_attempt_at <= :now AND NOT is_test
              ORDER BY next_attempt_at, id LIMIT room.room FOR UPDATE SKIP LOCKED) d
       LIMIT :batch),
    picked AS (SELECT id, 1 AS width, 0 AS room FROM tests UNION ALL SELECT id, width, room FROM due)
    UPDATE delivery d
       SET state = 'in_flight', attempt = d.attempt + 1, lease_token = gen_random_uuid(),
           lease_until = :lease_until
      FROM picked, endpoint e
     WHERE d.id = picked.id AND e.id = d.endpoint_id
    RETURNING d.id, d.endpoint_id, d.org_id, d.lease_token, d.lease_until, d.attempt, d.round_start, d.body,
              d.content_type, d.is_test, d.traceparent, d.next_attempt_at, e.url, picked.width, picked.room
    """
)

_GIVE_BACK = text(
    """
    UPDATE delivery d
       SET state = 'pending', attempt = d.attempt - 1, lease_token = NULL, lease_until = NULL
      FROM unnest(CAST(:ids AS uuid[]), CAST(:tokens AS uuid[])) AS g(id, token)
     WHERE d.id = g.id AND d.lease_token = g.token
    """
)


@dataclass(kw_only=True, slots=True)
class Claimed:
    """A delivery in our hands until its lease ends; a result counts only with the lease's token.

    `width` is how many of its endpoint's deliveries may be in flight at once, `room` how many were asked for.
    """

    id: UUID
    endpoint_id: UUID
    org_id: UUID
    lease_token: UUID
    lease_until: datetime
    attempt: int
    round_start: int
    body: str
    content_type: str
    is_test: bool
    traceparent: str | None
    next_attempt_at: datetime
    url: str
    width: int
    room: int
    keyring: Keyring = field(repr=False)


async def claim(
    session: AsyncSession,
    vault: Vault,
    now: datetime,
    real_now: datetime,
    batch: int,
    ahead: Mapping[UUID, int] = NOTHING_AHEAD,
    own: Mapping[UUID, int] = NOTHING_AHEAD,
) -> list[Claimed]:
    """Up to `batch` due deliveries, their attempts already counted; none while another process claims.

    `ahead` is how many more than may be in flight to take for an endpoint, `own` how many of its deliveries this
    process holds. Each endpoint's come in the order in which they are due. Leases run in `real_now`, also where the
    clock was moved.
    """
    if not await session.scalar(_ONE_CLAIMER):
        return []
    given = {
        "now": now,
        "real_now": real_now,
        "lease_until": real_now + LEASE,
        "batch": batch,
        "tests": min(batch, MOST_TESTS),
        "endpoints": list(ahead),
        "aheads": list(ahead.values()),
        "own": [own.get(endpoint, 0) for endpoint in ahead],
    }
    rows = (await session.execute(_CLAIM, given)).all()
    keyrings = await secrets.keyrings(session, vault, {row.endpoint_id for row in rows}, now)
    claimed = [Claimed(**row._mapping, keyring=keyrings[row.endpoint_id]) for row in rows]
    return sorted(claimed, key=lambda each: (each.next_attempt_at, each.id))


async def give_back(session: AsyncSession, unsent: Sequence[Claimed]) -> None:
    """Let go of deliveries that were claimed and not sent: no attempt was made."""
    if not unsent:
        return
    ids, tokens = [each.id for each in unsent], [each.lease_token for each in unsent]
    await session.execute(_GIVE_BACK, {"ids": ids, "tokens": tokens})
