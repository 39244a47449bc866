"""What the log in PostgreSQL and the kernel's tables forget: in batches, and nothing anybody has still to read."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from sqlalchemy import text

from shared.messaging.bus import Outgoing
from shared.messaging.pglog.bus import PgLogBus
from shared.web import idempotency
from tests.conftest import StartService
from tests.support.messaging import TOPIC, Service, new_service
from tests.support.postgres import PostgresServer


@pytest.fixture
async def service(postgres: PostgresServer) -> AsyncIterator[Service]:
    async with new_service(postgres) as made:
        await made.empty()
        yield made


async def logged(service: Service, old: int, young: int) -> PgLogBus:
    """A log of messages on one shard, the first of them older than the log keeps any."""
    bus = PgLogBus(service.url)
    producer = await bus.producer()
    await producer.publish(
        [Outgoing(TOPIC, b"k", b"{}", {"event_id": str(uuid4())}) for _ in range(old + young)]
    )
    await producer.close()
    await service.fetch(
        "UPDATE bus.bus_event SET at = at - interval '15 days' WHERE seq <= (SELECT min(seq) FROM bus.bus_event) + $1 - 1",
        old,
    )
    return bus


async def kept(service: Service) -> list[int]:
    """The messages that are left, numbered from 1."""
    rows = await service.fetch(
        "SELECT seq - (SELECT last_seq FROM bus.bus_head) + 20 AS n FROM bus.bus_event ORDER BY 1"
    )
    return [row["n"] for row in rows]


@pytest.mark.parametrize("batch", [1, 4, 5, 100])
async def test_old_messages_go_whatever_fits_into_a_batch(service: Service, batch: int) -> None:
    bus = await logged(service, old=13, young=7)
    assert await bus.prune(batch=batch) == 13
    assert await kept(service) == list(range(14, 21))


async def test_what_a_group_has_still_to_read_stays_and_is_stepped_over(service: Service) -> None:
    bus = await logged(service, old=13, young=7)
    await service.fetch(
        "INSERT INTO bus.bus_group (grp, topic, shard, seq) SELECT 'late', topic, shard, min(seq) + 5 FROM bus.bus_event"
        " GROUP BY topic, shard"
    )
    assert await bus.prune(batch=3) == 6
    assert await kept(service) == list(range(7, 21))


async def test_an_empty_log_has_nothing_to_forget(service: Service) -> None:
    assert await PgLogBus(service.url).prune() == 0


async def test_idempotency_keys_are_forgotten_in_batches(start_service: StartService) -> None:
    async with start_service("sla") as started:
        fill = text(
            """
            INSERT INTO idempotency (org_id, subject, route, key, fingerprint, created_at)
            SELECT gen_random_uuid(), 's', 'r', n::text, 'f', :at FROM generate_series(1, :rows) n
            """
        )
        async with started.kernel.database.system() as session:
            old = started.clock() - idempotency.KEEP * 2
            await session.execute(fill, {"at": old, "rows": idempotency.EXPIRE_BATCH + 1})
            await session.execute(fill, {"at": started.clock(), "rows": 2})
            batches = [await idempotency.expire(session, started.clock()) for _ in range(3)]
            left = await session.scalar(text("SELECT count(*) FROM idempotency"))
    assert (batches, left) == ([idempotency.EXPIRE_BATCH, 1, 0], 2)
