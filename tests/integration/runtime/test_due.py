"""What is due: handled once, each row on its own; one that fails waits longer and longer, and the others go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from shared.data import migrations
from shared.data.ids import uuid7
from shared.data.migrations import govern
from shared.data.session import Database, Identity, load_for_update
from shared.pure.refusal import Refused
from shared.runtime.due import Kind, Step, clear, schedule
from shared.runtime.due_runner import BATCH, DISTANCES, DueRunner
from tests.conftest import StartService
from tests.support import toy_service
from tests.support.harness import ISSUER, PASSWORD, RunningService
from tests.support.postgres import PostgresServer
from tests.support.toy_service import Note

KIND = "note.answer"
HOUR = timedelta(hours=1)
DOOM = "CREATE TABLE doom (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)"


@dataclass
class Log:
    """What was handled, in order; notes whose title is in `failing` fail in that way."""

    entries: list[tuple[str, str]] = field(default_factory=list)
    then: Callable[[AsyncSession, Note, datetime], Awaitable[None]] | None = None

    async def handle(self, session: AsyncSession, note: Note, step: Step, now: datetime) -> None:
        if fail := FAILURES.get(note.title):
            await fail(session)
        if self.then:
            await self.then(session, note, now)
        note.version += 1
        self.entries.append((note.title, step.name))

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.entries]


async def refuse(session: AsyncSession) -> None:
    raise Refused("outside_calendar", "No business hour until the end of time.")


async def break_the_transaction(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1 / 0"))


async def fail_at_commit(session: AsyncSession) -> None:
    await session.execute(text("INSERT INTO doom VALUES (1), (1)"))


async def end_the_connection(session: AsyncSession) -> None:
    await session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


FAILURES: Mapping[str, Callable[[AsyncSession], Awaitable[None]]] = {
    "a rule refuses": refuse,
    "a statement breaks the transaction": break_the_transaction,
    "a constraint refuses at commit": fail_at_commit,
    "the connection is lost": end_the_connection,
}


@dataclass
class Stage:
    """A toy service whose notes have deadlines, and the runner that handles them."""

    toy: RunningService
    log: Log
    runner: DueRunner

    @property
    def now(self) -> datetime:
        return self.toy.clock()

    async def note(
        self, title: str, due_at: datetime, steps: Mapping[str, datetime] | None = None, **scope: Any
    ) -> UUID:
        """A note with a deadline; `customer_org_id` makes it another organization's."""
        async with self.toy.kernel.database.system() as session:
            note = Note(
                **self.toy.world.scope.columns() | scope,
                title=title,
                version=1,
                created_at=self.now,
                updated_at=self.now,
            )
            session.add(note)
            await schedule(session, KIND, note, due_at, steps)
        return note.id

    async def rows(self) -> list[Any]:
        async with self.toy.kernel.database.system() as session:
            return list(await session.execute(text("SELECT * FROM due ORDER BY wakes_at")))

    def another_process(self) -> DueRunner:
        url = self.toy.kernel.settings.database_url.get_secret_value()
        return DueRunner("toy", Database(url, "changes"), [Kind(KIND, Note, self.log.handle)], self.toy.clock)


@pytest.fixture
async def s(start_service: StartService, postgres: PostgresServer) -> AsyncIterator[Stage]:
    async def prepare(database: str) -> None:
        owner = postgres.url(database, migrations.owner_role("changes"), PASSWORD)
        connection = await asyncpg.connect(owner, server_settings={"search_path": "changes"})
        for statement in (toy_service.TABLE, DOOM):
            await connection.execute(statement)
        govern(_Statements(todo := []), "note")
        for statement in todo:
            await connection.execute(statement)
        await connection.close()

    async with start_service(
        "changes", settings=toy_service.Settings, create_app=toy_service.create_app, prepare=prepare
    ) as toy:
        log = Log()
        yield Stage(
            toy, log, DueRunner("toy", toy.kernel.database, [Kind(KIND, Note, log.handle)], toy.clock)
        )


class _Statements:
    def __init__(self, into: list[str]) -> None:
        self._into = into

    def execute(self, sqltext: str) -> None:
        self._into.append(sqltext)


async def test_a_deadline_is_handled_when_it_comes_and_only_once(s: Stage) -> None:
    await s.note("a", s.now + HOUR)
    assert await s.runner.run_once() == 0
    s.toy.clock.advance(HOUR)
    assert await s.runner.run_once() == 1
    assert await s.runner.run_once() == 0
    assert s.log.entries == [("a", "due")]
    assert await s.rows() == []


async def test_each_step_comes_at_its_time(s: Stage) -> None:
    await s.note("a", s.now + 2 * HOUR, {"end": s.now + 2 * HOUR, "warning": s.now + HOUR})
    for _ in range(2):
        s.toy.clock.advance(HOUR)
        await s.runner.run_once()
    assert s.log.entries == [("a", "warning"), ("a", "end")]


async def test_of_steps_that_were_slept_through_the_newest_is_handled(s: Stage) -> None:
    await s.note("a", s.now + 3 * HOUR, {f"{n}": s.now + n * HOUR for n in (1, 2, 3)})
    s.toy.clock.advance(2 * HOUR)
    await s.runner.run_once()
    assert s.log.entries == [("a", "2")]
    (row,) = await s.rows()
    assert row.wakes_at == row.due_at == s.now + HOUR


async def test_a_deadline_may_move_and_may_be_settled(s: Stage) -> None:
    moved, settled = [await s.note(title, s.now + HOUR) for title in ("moved", "settled")]
    async with s.toy.kernel.database.system() as session:
        await schedule(session, KIND, await load_for_update(session, Note, moved, None), s.now + 2 * HOUR)
        await clear(session, KIND, await load_for_update(session, Note, settled, None))
    s.toy.clock.advance(HOUR)
    assert await s.runner.run_once() == 0
    s.toy.clock.advance(HOUR)
    await s.runner.run_once()
    assert s.log.titles == ["moved"]


async def test_what_is_rolled_back_is_never_due(s: Stage) -> None:
    async with s.toy.kernel.database.system() as session:
        await schedule(session, KIND, Note(**s.toy.world.scope.columns(), title="a"), s.now)
        await session.rollback()
    assert await s.runner.run_once() == 0


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_row_that_fails_stops_no_other(s: Stage, failure: str) -> None:
    await s.note("before", s.now - HOUR)
    poison = await s.note(failure, s.now - HOUR / 2, customer_org_id=uuid7())
    for n in range(BATCH):
        await s.note(f"after {n}", s.now)
    assert await s.runner.run_once() == BATCH + 1
    assert {title for title in s.log.titles if title != failure} == {
        "before",
        *(f"after {n}" for n in range(BATCH)),
    }
    (row,) = await s.rows()
    assert (row.subject_id, row.attempts) == (poison, 1)
    assert row.last_error
    async with s.toy.kernel.database.system() as session:
        note = await session.get(Note, poison)
        assert note is not None
        assert note.version == 1  # what the handler did before it failed is gone


async def test_a_row_that_keeps_failing_waits_longer_each_time_up_to_a_bound(s: Stage) -> None:
    await s.note("a rule refuses", s.now)
    waits = []
    for _ in range(len(DISTANCES) + 2):
        await s.runner.run_once()
        (row,) = await s.rows()
        waits.append(row.wakes_at - s.now)
        s.toy.clock.set(row.wakes_at)
    assert waits == [*DISTANCES, DISTANCES[-1], DISTANCES[-1]]
    assert "No business hour" in row.last_error


async def test_what_was_mended_is_handled_and_its_failures_are_forgotten(s: Stage) -> None:
    note = await s.note("a rule refuses", s.now + HOUR, {"warning": s.now, "end": s.now + HOUR})
    await s.runner.run_once()
    async with s.toy.kernel.database.system() as session:
        (await load_for_update(session, Note, note, None)).title = "mended"
    s.toy.clock.advance(DISTANCES[0])
    await s.runner.run_once()
    assert s.log.entries == [("mended", "warning")]
    (row,) = await s.rows()
    assert (row.attempts, row.last_error, row.wakes_at) == (0, None, row.due_at)


async def test_one_organization_s_many_rows_do_not_push_back_another_s(s: Stage) -> None:
    for n in range(BATCH + 10):
        await s.note(f"many {n}", s.now - 2 * HOUR, customer_org_id=s.toy.world.orgs["other"])
    await s.note("mine", s.now)
    await s.runner.run_once()
    assert s.log.titles.index("mine") <= 1


async def test_several_processes_share_the_work(s: Stage) -> None:
    expected = {f"n{n}" for n in range(40)}
    for title in expected:
        await s.note(title, s.now)
    await asyncio.gather(
        *(runner.run_once() for runner in (s.runner, s.another_process(), s.another_process()))
    )
    assert len(s.log.titles) == len(expected)
    assert set(s.log.titles) == expected


async def test_what_somebody_is_working_on_is_left_and_not_waited_for(s: Stage) -> None:
    held = await s.note("held", s.now)
    await s.note("free", s.now)
    async with s.toy.kernel.database.system() as session:
        note = await load_for_update(session, Note, held, None)
        await s.runner.run_once()
        assert s.log.titles == ["free"]
        await clear(session, KIND, note)
    await s.runner.run_once()
    assert s.log.titles == ["free"]


@pytest.mark.parametrize("moved", [True, False])
async def test_what_another_act_settles_or_moves_after_it_was_read_is_not_handled(
    s: Stage, moved: bool
) -> None:
    """Both are read in one batch; what happens to the first concerns the second."""
    await s.note("first", s.now - HOUR)
    second = await s.note("second", s.now)

    async def concern(session: AsyncSession, note: Note, now: datetime) -> None:
        other = await load_for_update(session, Note, second, None)
        if moved:
            await schedule(session, KIND, other, now + HOUR)
        else:
            await clear(session, KIND, other)

    s.log.then = concern
    assert await s.runner.run_once() == 1
    assert s.log.titles == ["first"]
    assert len(await s.rows()) == moved


async def test_a_handler_may_set_the_next_deadline_of_its_own_row(s: Stage) -> None:
    async def again(session: AsyncSession, note: Note, now: datetime) -> None:
        await schedule(session, KIND, note, now + HOUR)

    s.log.then = again
    await s.note("a", s.now)
    for _ in range(3):
        assert await s.runner.run_once() == 1
        s.toy.clock.advance(HOUR)
    assert len(s.log.entries) == 3


async def test_a_subject_that_is_gone_takes_its_deadlines_along(s: Stage) -> None:
    note = await s.note("a", s.now)
    async with s.toy.kernel.database.system() as session:
        await session.execute(text("DELETE FROM note WHERE id = :id"), {"id": note})
    await s.runner.run_once()
    assert (s.log.entries, await s.rows()) == ([], [])


async def test_the_next_wake_is_the_earliest_of_what_has_not_failed(s: Stage) -> None:
    await s.note("a rule refuses", s.now)
    await s.note("a", s.now + HOUR)
    assert await s.runner.next_wake() == s.now
    await s.runner.run_once()
    assert await s.runner.next_wake() == s.now + HOUR


async def test_what_was_postponed_and_what_is_late_are_gauges(s: Stage) -> None:
    await s.note("a rule refuses", s.now)
    await s.runner.run_once()
    await s.note("nobody ran the runner", s.now - HOUR)
    async with s.toy.kernel.database.system() as session:
        await s.runner.measure(session, s.now)
    assert REGISTRY.get_sample_value("concordat_due_postponed", {"service": "toy"}) == 1
    assert REGISTRY.get_sample_value("concordat_due_late_seconds", {"service": "toy"}) == 3600


@pytest.mark.parametrize(
    ("member", "seen"), [("customer.om_team", 1), ("provider.om_team", 1), ("other.om_team", 0)]
)
async def test_only_the_parties_of_a_row_see_and_move_its_deadline(s: Stage, member: str, seen: int) -> None:
    await s.note("a", s.now)
    async with s.toy.kernel.database.acting_as(Identity(ISSUER, member)) as (session, _):
        assert await session.scalar(text("SELECT count(*) FROM due")) == seen
        moved = await session.execute(text("UPDATE due SET wakes_at = now()"))
        assert moved.rowcount == seen
