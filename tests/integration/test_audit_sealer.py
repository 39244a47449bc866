"""Sealing on a real database: dense chains under concurrency, one sealer at a time, rows nobody can rewrite."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from services.verify import examine
from shared import migrations
from shared.audit_chain import GENESIS, row_hash
from shared.audit_sealer import CHECKPOINT_AGE, CHECKPOINT_ROWS
from shared.contracts.audit import AuditCheckpointed
from shared.contracts.base import Scope
from tests.conftest import StartService
from tests.support.auditing import (
    act,
    chain_rows,
    checkpoint,
    checkpoints_of,
    exported,
    is_signed,
    scope_of,
    seal,
    sealer,
    verdicts,
    verified,
    webhooks,
)
from tests.support.harness import RunningService

WRITERS, ACTS, SEALERS = 6, 30, 3


@pytest.fixture
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("changes") as running:
        yield running


def links(rows: list[object]) -> list[tuple[int, bytes]]:
    """What the seals of these texts must be."""
    found, previous = [], GENESIS
    for seq, row in enumerate(rows, 1):
        previous = row_hash(previous, row.canonical)  # type: ignore[attr-defined]
        found.append((seq, previous))
    return found


async def test_each_charter_and_visibility_is_a_dense_chain_of_its_own(service: RunningService) -> None:
    shared, private, platform = scope_of(service), scope_of(service, "customer"), Scope()
    for _ in range(3):
        for scope in (shared, private, platform):
            await act(service, scope)
    assert await seal(service) == 9
    for scope in (shared, private, platform):
        rows = await chain_rows(service, scope)
        assert [(row.seq, row.hash) for row in rows] == links(rows)
        assert len(rows) == 3


async def test_sealing_again_changes_nothing_and_later_rows_follow_on(service: RunningService) -> None:
    scope = scope_of(service)
    await act(service, scope, 2)
    assert [await seal(service), await seal(service)] == [2, 0]
    before = await chain_rows(service, scope)
    await act(service, scope)
    assert await seal(service) == 1
    after = await chain_rows(service, scope)
    assert after[:2] == before
    assert [(row.seq, row.hash) for row in after] == links(after)


async def test_a_row_that_commits_late_is_sealed_after_the_ones_that_overtook_it(
    service: RunningService,
) -> None:
    scope = scope_of(service)
    slow = asyncpg_insert(service, scope)
    commit = await slow.__aenter__()
    await act(service, scope)
    assert await seal(service) == 1
    await commit()
    await slow.__aexit__(None, None, None)
    assert await seal(service) == 1
    first, second = await chain_rows(service, scope)
    assert (first.seq, second.seq) == (1, 2)
    assert first.id > second.id


@contextlib.asynccontextmanager
async def asyncpg_insert(service: RunningService, scope: Scope) -> AsyncIterator[object]:
    """A transaction that has inserted its audit row and not committed yet."""
    connection = await connect(service)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT set_config('app.scope', 'system', true)")
    await connection.execute(
        """
        INSERT INTO audit (chain, customer_org_id, provider_org_id, visibility, at, action, object_type,
                           object_id, object_version, canonical)
        VALUES ($1, $2, $3, $4, $5, 'late', 'test', $1, 1, '{}')
        """,
        scope.charter_id,
        scope.customer_org_id,
        scope.provider_org_id,
        scope.visibility,
        service.clock(),
    )
    yield transaction.commit
    await connection.close()


async def connect(service: RunningService, *, owner: bool = False) -> asyncpg.Connection:
    settings = service.kernel.settings
    url = settings.migration_url if owner else settings.database_url
    assert url is not None
    return await asyncpg.connect(url.get_secret_value(), server_settings={"search_path": service.name})


async def test_of_two_sealers_one_waits_its_turn(service: RunningService) -> None:
    await act(service, scope_of(service), 5)
    async with service.kernel.database.system() as session:
        assert await sealer(service).seal(session, service.clock()) == 5
        assert await seal(service) == 0
        assert await checkpoint(service) == 0
    assert await seal(service) == 0


async def test_writers_and_dying_sealers_leave_one_dense_chain(
    service: RunningService, tmp_path: Path
) -> None:
    chance = random.Random(7)
    scopes = [scope_of(service), scope_of(service, "customer"), scope_of(service, "provider")]
    done = asyncio.Event()

    async def write(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(ACTS):
            await act(service, own.choice(scopes), own.randint(1, 3))

    async def seal_until_killed() -> None:
        while not done.is_set():
            with contextlib.suppress(DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await service.kernel.timers.run_once()

    async def kill(sealers: list[asyncio.Task[None]]) -> None:
        """Take a sealer out of its transaction, or its connection away from it, as a crash does."""
        while not done.is_set():
            await asyncio.sleep(0.05)
            victim = chance.randrange(SEALERS)
            sealers[victim].cancel()
            await asyncio.gather(sealers[victim], return_exceptions=True)
            sealers[victim] = asyncio.create_task(seal_until_killed())
            await terminate_idle_in_transaction(service)

    sealers = [asyncio.create_task(seal_until_killed()) for _ in range(SEALERS)]
    killer = asyncio.create_task(kill(sealers))
    written = await asyncio.gather(*(write(n) for n in range(WRITERS)), return_exceptions=True)
    done.set()
    await asyncio.gather(killer, *sealers, return_exceptions=True)
    assert sum(isinstance(w, BaseException) for w in written) < WRITERS
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    for scope in scopes:
        rows = await chain_rows(service, scope)
        assert [(row.seq, row.hash) for row in rows] == links(rows)
        member = "provider.isso" if scope.visibility == "provider" else "customer.isso"
        assert await verified(service, tmp_path, member=member, visibility=scope.visibility) == (
            "holds",
            "holds",
        )


async def terminate_idle_in_transaction(service: RunningService) -> None:
    """What the server does to a client that died: whoever is between two statements loses its session."""
    connection = await connect(service)
    await connection.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
           AND state = 'idle in transaction' AND query LIKE '%audit%seq IS NULL%' LIMIT 1
        """
    )
    await connection.close()


async def test_a_checkpoint_is_due_five_minutes_after_the_oldest_unsigned_row(
    service: RunningService,
) -> None:
    scope = scope_of(service)
    await act(service, scope)
    service.clock.advance(CHECKPOINT_AGE - timedelta(seconds=1))
    await act(service, scope)
    await seal(service)
    assert await checkpoint(service) == 0
    service.clock.advance(timedelta(seconds=1))
    assert [await checkpoint(service), await checkpoint(service)] == [1, 0]
    [event] = await checkpoints_of(service, scope)
    assert event.seq == 2
    assert is_signed(service, event)


async def test_a_thousand_rows_are_signed_at_once(service: RunningService) -> None:
    scope = scope_of(service)
    await act(service, scope, CHECKPOINT_ROWS + 1)
    assert await seal(service) == CHECKPOINT_ROWS
    assert [event.seq for event in await checkpoints_of(service, scope)] == [CHECKPOINT_ROWS]


async def test_a_checkpoint_goes_to_the_parties_that_may_see_its_rows(service: RunningService) -> None:
    world = service.world
    for scope in (scope_of(service), scope_of(service, "provider"), Scope()):
        await act(service, scope)
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    envelopes = await service.envelopes(AuditCheckpointed)
    told = {
        (e.get("charterid"), e.get("customerorgid"), e.get("providerorgid"), e["visibility"])
        for e in envelopes
    }
    parties = (str(world.charter_id), str(world.orgs["customer"]), str(world.orgs["provider"]))
    assert told == {(*parties, "shared"), (*parties, "provider"), (None, None, None, "shared")}
    assert {e["source"] for e in envelopes} == {"/services/changes"}
    assert len({e["subject"] for e in envelopes}) == 3


async def test_only_chains_with_new_rows_are_signed_but_the_root_covers_all(service: RunningService) -> None:
    shared, private = scope_of(service), scope_of(service, "customer")
    await act(service, shared)
    await act(service, private)
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    await act(service, shared)
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    assert [e.seq for e in await checkpoints_of(service, private)] == [1]
    first, second = await checkpoints_of(service, shared)
    assert (first.seq, second.seq) == (1, 2)
    assert [json.loads(e.statement)["heads"] for e in (first, second)] == [2, 2]


REFUSED_TO_THE_SERVICE = {
    "rewriting the text": "UPDATE audit SET canonical = '{}'",
    "backdating": "UPDATE audit SET at = now()",
    "deleting a row": "DELETE FROM audit",
    "rewriting a checkpoint": "UPDATE audit_checkpoint SET statement = '{}'",
    "deleting a checkpoint": "DELETE FROM audit_checkpoint",
}


@pytest.mark.parametrize("what", REFUSED_TO_THE_SERVICE)
async def test_the_runtime_role_is_not_permitted(service: RunningService, what: str) -> None:
    await act(service, scope_of(service))
    await seal(service)
    with pytest.raises(DBAPIError, match="permission denied"):
        async with service.kernel.database.system() as session:
            await session.execute(text(REFUSED_TO_THE_SERVICE[what]))


REFUSED_TO_EVERYBODY = {
    "sealing again": "UPDATE audit SET seq = seq + 7, hash = hash",
    "another hash": "UPDATE audit SET hash = '\\x00'",
    "unsealing": "UPDATE audit SET seq = NULL, hash = NULL",
    "half a seal": "UPDATE audit SET seq = NULL",
    "entering sealed": """
        INSERT INTO audit (chain, visibility, at, action, object_type, object_id, object_version, canonical, seq, hash)
        SELECT chain, visibility, at, action, object_type, object_id, object_version, canonical, 99, hash FROM audit
    """,
}
REFUSED_TO_THE_OWNER = REFUSED_TO_EVERYBODY | REFUSED_TO_THE_SERVICE


@pytest.mark.parametrize("what", REFUSED_TO_EVERYBODY)
async def test_a_trigger_refuses_the_runtime_role(service: RunningService, what: str) -> None:
    await act(service, scope_of(service))
    await seal(service)
    with pytest.raises(DBAPIError, match="written once and sealed once"):
        async with service.kernel.database.system() as session:
            await session.execute(text(REFUSED_TO_EVERYBODY[what]))


@pytest.mark.parametrize("what", REFUSED_TO_THE_OWNER)
async def test_a_trigger_refuses_the_owner_too(service: RunningService, what: str) -> None:
    await act(service, scope_of(service))
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    connection = await connect(service, owner=True)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="written once and sealed once"):
        await connection.execute(REFUSED_TO_THE_OWNER[what])
    await connection.close()


async def test_an_unsealed_row_cannot_be_rewritten_while_it_is_sealed(service: RunningService) -> None:
    await act(service, scope_of(service))
    connection = await connect(service, owner=True)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await connection.execute("UPDATE audit SET canonical = '{}', seq = 1, hash = '\\x00'")
    await connection.close()


REWRITES = {
    "a text": ("UPDATE audit SET canonical = '{}' WHERE seq = 2", ("broken", "holds"), 2),
    "a row dropped": ("DELETE FROM audit WHERE seq = 2", ("broken", "broken"), 3),
    "the newest rows dropped": ("DELETE FROM audit WHERE seq > 2", ("holds", "broken"), 3),
}


@pytest.mark.parametrize("what", REWRITES)
async def test_an_owner_that_drops_the_triggers_is_convicted(
    service: RunningService, tmp_path: Path, what: str
) -> None:
    statement, expected, row = REWRITES[what]
    await act(service, scope_of(service), 4)
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    assert await verified(service, tmp_path) == ("holds", "holds")
    connection = await connect(service, owner=True)
    await connection.execute("ALTER TABLE audit DISABLE TRIGGER USER")
    await connection.execute(statement)
    await connection.close()
    found = examine(await exported(service, tmp_path))
    assert verdicts(found) == expected
    assert row in {v.fault.seq for v in (found.report.integrity, found.report.completeness) if v.fault}


async def test_a_history_written_anew_is_convicted_by_the_other_partys_checkpoints(
    service: RunningService, tmp_path: Path
) -> None:
    await act(service, scope_of(service), 4)
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    kept = webhooks(tmp_path, await service.envelopes(AuditCheckpointed))
    connection = await connect(service, owner=True)
    await connection.execute(
        """
        ALTER TABLE audit DISABLE TRIGGER USER; ALTER TABLE audit_checkpoint DISABLE TRIGGER USER;
        DELETE FROM audit_checkpoint; DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = NULL, hash = NULL
        """
    )
    await connection.close()
    await service.drain()
    assert verdicts(examine(await exported(service, tmp_path))) == ("holds", "holds")
    found = examine(await exported(service, tmp_path), kept)
    assert verdicts(found) == ("holds", "broken")


def test_the_runtime_role_may_seal_and_nothing_else() -> None:
    """The grants of `kernel_v1`, as they stand in the migration."""

    class Recorded:
        def __init__(self) -> None:
            self.sql = ""

        def execute(self, sqltext: str) -> None:
            self.sql += sqltext

    recorded = Recorded()
    migrations.kernel_v1(recorded)
    assert "GRANT UPDATE (seq, hash) ON audit TO %I" in recorded.sql
    assert recorded.sql.count("GRANT UPDATE") == 1
