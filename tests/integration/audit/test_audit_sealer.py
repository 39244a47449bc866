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

from concordat.cli.verify import examine
from shared.audit.chain import GENESIS, row_hash
from shared.audit.sealer import CHECKPOINT_AGE, CHECKPOINT_ROWS
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


@pytest.fixture(scope="module")
async def sealed(start_service: StartService) -> AsyncIterator[RunningService]:
    """A service with a sealed and signed row, for acts that must all be refused."""
    async with start_service("changes") as running:
        await act(running, scope_of(running))
        running.clock.advance(CHECKPOINT_AGE)
        await running.drain()
        yield running


def links(rows: list[object]) -> list[tuple[int, bytes]]:
    """What the seals of these texts must be."""
    chained, previous = [], GENESIS
    for seq, row in enumerate(rows, 1):
        previous = row_hash(previous, row.canonical)  # type: ignore[attr-defined]
        chained.append((seq, previous))
    return chained


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
    async with service.kernel.database.system() as slow:
        await act(service, scope, session=slow)
        await act(service, scope)
        assert await seal(service) == 1
    assert await seal(service) == 1
    first, second = await chain_rows(service, scope)
    assert (first.seq, second.seq) == (1, 2)
    assert first.id > second.id


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


async def test_writers_and_dying_sealers_leave_dense_chains(service: RunningService, tmp_path: Path) -> None:
    scopes = [scope_of(service), scope_of(service, "customer"), scope_of(service, "provider")]
    done = asyncio.Event()
    crew = [asyncio.create_task(_seal_until(service, done)) for _ in range(SEALERS)]
    killer = asyncio.create_task(_kill_until(service, crew, done))
    await asyncio.gather(*(_write(service, scopes, seed) for seed in range(WRITERS)))
    done.set()
    killed = await killer
    await asyncio.gather(*crew, return_exceptions=True)
    assert killed > 3
    service.clock.advance(CHECKPOINT_AGE)
    await service.drain()
    for scope in scopes:
        rows = await chain_rows(service, scope)
        assert [(row.seq, row.hash) for row in rows] == links(rows)
        member = "provider.isso" if scope.visibility == "provider" else "customer.isso"
        judged = await verified(service, tmp_path, member=member, visibility=scope.visibility)
        assert judged == ("holds", "holds")


async def _write(service: RunningService, scopes: list[Scope], seed: int) -> None:
    """Acts of one writer; one whose pooled connection is taken away with a sealer's loses that act, no more."""
    own = random.Random(seed)
    for _ in range(ACTS):
        with contextlib.suppress(DBAPIError):
            await act(service, own.choice(scopes), own.randint(1, 3))


async def _seal_until(service: RunningService, done: asyncio.Event) -> None:
    while not done.is_set():
        with contextlib.suppress(DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await service.kernel.timers.run_once()


async def _kill_until(service: RunningService, crew: list[asyncio.Task[None]], done: asyncio.Event) -> int:
    """Take sealers out of their transactions, and their connections away, as a crash does; how often."""
    chance, killed = random.Random(7), 0
    while not done.is_set():
        await asyncio.sleep(0.03)
        victim = chance.randrange(SEALERS)
        crew[victim].cancel()
        await asyncio.gather(crew[victim], return_exceptions=True)
        crew[victim] = asyncio.create_task(_seal_until(service, done))
        await _terminate_a_sealer(service)
        killed += 1
    return killed


async def _terminate_a_sealer(service: RunningService) -> None:
    """End a session whose last statement was a sealer's, in the middle of its transaction if we meet it there."""
    connection = await connect(service)
    await connection.execute(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
           AND state <> 'idle' AND query LIKE '%audit%seq%' LIMIT 1
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
    scopes = {
        (e.get("charterid"), e.get("customerorgid"), e.get("providerorgid"), e["visibility"])
        for e in envelopes
    }
    parties = (str(world.charter_id), str(world.orgs["customer"]), str(world.orgs["provider"]))
    assert scopes == {(*parties, "shared"), (*parties, "provider"), (None, None, None, "shared")}
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
    "rewriting an event": "UPDATE event SET payload = ''",
    "signing an event afterwards": "UPDATE event SET signature = ''",
    "deleting an event": "DELETE FROM event",
}


@pytest.mark.parametrize("what", REFUSED_TO_THE_SERVICE)
async def test_the_runtime_role_is_not_permitted(sealed: RunningService, what: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with sealed.kernel.database.system() as session:
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
async def test_a_trigger_refuses_the_runtime_role(sealed: RunningService, what: str) -> None:
    with pytest.raises(DBAPIError, match="are written once"):
        async with sealed.kernel.database.system() as session:
            await session.execute(text(REFUSED_TO_EVERYBODY[what]))


@pytest.mark.parametrize("what", REFUSED_TO_THE_OWNER)
async def test_a_trigger_refuses_the_owner_too(sealed: RunningService, what: str) -> None:
    connection = await connect(sealed, owner=True)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="are written once"):
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
    verdict = examine(await exported(service, tmp_path))
    assert verdicts(verdict) == expected
    assert row in {v.fault.seq for v in (verdict.report.integrity, verdict.report.completeness) if v.fault}


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
    verdict = examine(await exported(service, tmp_path), kept)
    assert verdicts(verdict) == ("holds", "broken")
