"""Row-level security alone: what queries without any filter see and change in a caller's session, table by table."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from concordat.embedded.issuer import ISSUER
from services.registry import SERVICES
from shared.data.ids import uuid7
from shared.data.session import Identity
from shared.pure.refusal import Forbidden
from shared.web.authz import NOBODY
from tests.hostile.conftest import StageOf
from tests.hostile.objects import collections_of, one, ready
from tests.hostile.routes import routes_of
from tests.hostile.support import FORMER, Parties, Stage, send, tables

pytestmark = pytest.mark.guard

Row = dict[str, Any]
Seen = dict[str, list[Row]]
OPEN_TABLES = {
    "alembic_version": "the revision of the schema",
    "number_series": "how many numbers each charter has used: callers take theirs from it",
}
"""Tables whose rows every caller sees, and why."""
STRANGERS: dict[str, tuple[str, ...]] = {
    "other.om_team": (),
    "customer2.om_team": ("second",),
    "provider2.om_team": ("third",),
    "observer2.observer": ("second", "third"),
}
"""Each with the charters it takes part in."""
ADDED_BY_ANYBODY = {
    "event": "events are added in the caller's own transaction; only the service itself reads them",
    "outbox": "events are queued in the caller's own transaction; only the relay reads them",
    "number_series": "the first number of a charter makes its row",
}
"""Tables that take a row for somebody else; everywhere else the policy refuses it."""


@pytest.fixture(scope="module", params=SERVICES)
async def stage(request: pytest.FixtureRequest, stage_of: StageOf) -> Stage:
    """Rows of the victim in every table of a service, made through its API where there is one."""
    made = await stage_of(request.param)
    for collection in collections_of(request.param):
        for parties in (made.victim, made.second, made.third):
            await one(made, collection, parties)
    for route in routes_of(request.param):
        if route.writes:
            works = await ready(made, route)
            await send(made, works, headers={"Idempotency-Key": f"the-victims-{route.name}"})
    made.s.clock.advance(timedelta(minutes=6))
    for _ in range(2):
        await made.s.kernel.timers.run_once()
    victim = {
        "charter": UUID(charter_id(made, made.victim)),
        "customer": made.org(made.victim.customer),
        "provider": made.org(made.victim.provider),
    }
    async with made.s.kernel.database.system() as session:
        for statement in (*LEFT_BEHIND, *OF_SERVICE.get(request.param, ())):
            await session.execute(text(statement), {"id": uuid7()} | victim)
    return made


LEFT_BEHIND: tuple[str, ...] = (
    "INSERT INTO inbox (consumer, event_id, source, aggregate_id, aggregate_version, outcome)"
    " VALUES ('c', :id, 's', :id, 1, 'done')",
    "INSERT INTO consumed_version VALUES ('c', :id, 'p', 1)",
    "INSERT INTO parked_key VALUES ('c', :id, now())",
    "INSERT INTO number_series VALUES (:id, 'XX', 2027, 1)",
    "INSERT INTO due (id, kind, subject_type, subject_id, charter_id, customer_org_id, provider_org_id, visibility,"
    " due_at, steps, wakes_at) VALUES (:id, 'k', 't', :id, :charter, :customer, :provider, 'shared', now(), '[]', now())",
    "INSERT INTO awaited_matter (id, version, created_at, updated_at, charter_id, customer_org_id, provider_org_id,"
    " visibility, subject_kind, subject_id, decision_class, text, text_format, content_hash, state)"
    " VALUES (:id, 1, now(), now(), :charter, :customer, :provider, 'shared', 'k', :id, 'c', 'x', 1,"
    " encode(sha256('x'), 'hex'), 'waiting')",
)
"""What consumers and other services leave: not every service has each of these by itself."""
OF_SERVICE = {
    "notifier": (
        "INSERT INTO delivery_attempt (id, delivery_id, endpoint_id, org_id, number, finished_at, duration_ms,"
        " verdict, error, excerpt) SELECT :id, id, endpoint_id, org_id, 1, now(), 1, 'retry', 'x', '' FROM delivery LIMIT 1",
    ),
    "changes": (
        "INSERT INTO concurrence (id, version, created_at, updated_at, charter_id, customer_org_id, provider_org_id,"
        " visibility, matter_id, entry, party, role, member_id, member_name, concurs, reason, status)"
        " SELECT :id, 1, now(), now(), charter_id, customer_org_id, provider_org_id, visibility, id, entry, 'customer',"
        " 'isso', :id, 'x', true, 'x', 'standing' FROM matter WHERE charter_id = :charter LIMIT 1",
    ),
}
"""What no route leaves yet, or only a worker."""


async def everything(session: AsyncSession, stage: Stage) -> Seen:
    """Every row of every table that the session shows."""
    return {
        table: [
            json.loads(row)
            for row in await session.scalars(text(f"SELECT row_to_json(t)::text FROM {table} t"))
        ]
        for table in await tables(stage.s)
    }


@asynccontextmanager
async def acting_as(stage: Stage, member: str, *, sysadmin: bool = False) -> AsyncIterator[AsyncSession]:
    async with stage.s.kernel.database.acting_as(Identity(ISSUER, member, sysadmin)) as (session, _):
        yield session


def charter_id(stage: Stage, of: Parties) -> str:
    return stage.made[of.word, "charters"] if stage.s.name == "charter" else str(of.charter_id)


def is_own(row: Row, org: str, known: set[str], charters: set[str]) -> bool:
    """Whether a row belongs to the organization alone, or to a charter it takes part in."""
    if "org_id" in row:
        return row["org_id"] == org or (row["org_id"] in known and "subject" in row)
    if "chain" in row or "charter_id" in row:
        return row.get("chain", row.get("charter_id")) in charters | {org}
    return row.get("id") in known


async def test_every_table_holds_rows_of_the_victim(stage: Stage) -> None:
    """An empty table would hide a missing policy: teach the fixture to fill it."""
    async with stage.s.kernel.database.system() as session:
        empty = [table for table, rows in (await everything(session, stage)).items() if not rows]
    assert empty == []


@pytest.mark.parametrize("member", STRANGERS)
async def test_an_unfiltered_query_shows_a_stranger_only_what_is_its_own(stage: Stage, member: str) -> None:
    charters = {charter_id(stage, getattr(stage, which)) for which in STRANGERS[member]}
    org = str(stage.org(member.partition(".")[0]))
    async with acting_as(stage, member) as session:
        seen = await everything(session, stage)
    known = {row["id"] for row in seen["organization"]}
    foreign = {
        table: [row for row in rows if not is_own(row, org, known, charters)]
        for table, rows in seen.items()
        if table not in OPEN_TABLES
    }
    assert {table: rows for table, rows in foreign.items() if rows} == {}
    assert known == known_to(stage, member)


def known_to(stage: Stage, member: str) -> set[str]:
    """Itself and those it shares a charter with."""
    own = member.partition(".")[0]
    shared = [getattr(stage, which) for which in STRANGERS[member]]
    return {
        str(stage.org(key)) for each in shared for key in (each.customer, each.provider, each.observer)
    } | {str(stage.org(own))}


async def test_one_who_takes_part_in_nothing_sees_no_row_but_itself(stage: Stage) -> None:
    async with acting_as(stage, "other.om_team") as session:
        seen = await everything(session, stage)
    shown = {table for table, rows in seen.items() if rows} - OPEN_TABLES.keys()
    assert shown == {"organization", "member"}
    assert [row["id"] for row in seen["organization"]] == [str(stage.org("other"))]


async def test_the_owner_sees_what_strangers_do_not(stage: Stage) -> None:
    """Otherwise the policies would merely hide everything from everybody."""
    async with acting_as(stage, "customer.om_team") as session:
        seen = await everything(session, stage)
    hidden = {"event", "outbox", "inbox", "consumed_version", "parked_key", "dead_letter"}
    assert {table for table, rows in seen.items() if not rows} <= hidden


async def test_a_session_without_a_caller_shows_nothing(stage: Stage) -> None:
    async with AsyncSession(stage.s.kernel.database.engine) as session:
        seen = await everything(session, stage)
    assert {table for table, rows in seen.items() if rows} == {"alembic_version"}


async def test_a_removed_member_gets_no_session(stage: Stage) -> None:
    with pytest.raises(Forbidden, match="no organization has you as a member"):
        async with acting_as(stage, f"customer.{FORMER}"):
            pass


async def test_a_platform_administrator_sees_no_row_of_a_charter(stage: Stage) -> None:
    async with acting_as(stage, "sysadmin", sysadmin=True) as session:
        seen = await everything(session, stage)
    shown = {table for table, rows in seen.items() if rows} - OPEN_TABLES.keys()
    assert shown <= {"organization", "member", "audit", "audit_checkpoint", "idempotency"}
    trail = [row for table in ("audit", "audit_checkpoint") for row in seen[table]]
    assert [row for row in trail if row["customer_org_id"] or row["provider_org_id"]] == []
    assert {row["org_id"] for row in seen["idempotency"]} <= {str(NOBODY)}


DENIED = "42501"


class Undone(Exception):
    """Ends a session without a trace."""


async def changed_by(
    stage: Stage, member: str, statement: str, values: dict[str, object] | None = None
) -> int | str:
    """How many rows a statement changes in a caller's session, or the SQLSTATE it is refused with; undone."""
    count = 0
    try:
        async with acting_as(stage, member) as session:
            count = getattr(await session.execute(text(statement), values or {}), "rowcount", 0)
            raise Undone
    except Undone:
        return count
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", ""))


async def test_an_unfiltered_update_or_delete_by_a_stranger_touches_nothing(stage: Stage) -> None:
    touched = {}
    for table in set(await tables(stage.s)) - OPEN_TABLES.keys() - {"organization", "member"}:
        async with stage.s.kernel.database.system() as session:
            column = list(json.loads(await _first(session, table)))[-1]
        for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            count = await changed_by(stage, "other.om_team", statement)
            if count not in (0, DENIED):
                touched[statement] = count
    assert touched == {}


async def _first(session: AsyncSession, table: str) -> str:
    return str(await session.scalar(text(f"SELECT row_to_json(t)::text FROM {table} t LIMIT 1")))


async def test_no_stranger_adds_a_row_in_the_victims_name(stage: Stage) -> None:
    """A copy of each first row under a new identity; whatever the code allows, the policy has the last word."""
    outcomes = {}
    for table in set(await tables(stage.s)) - {"alembic_version"}:
        async with stage.s.kernel.database.system() as session:
            row = json.loads(await _victims(session, stage, table))
        fresh = renewed(row)
        columns = ", ".join(fresh)
        statement = (
            f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE"
            f' SELECT {columns} FROM json_populate_record(NULL::"{table}", CAST(:row AS json))'
        )
        outcomes[table] = await changed_by(stage, "other.om_team", statement, {"row": json.dumps(fresh)})
    assert outcomes == {table: 1 if table in ADDED_BY_ANYBODY else DENIED for table in outcomes}


def renewed(row: Row) -> Row:
    """The row under another key, so that only a policy can refuse it; sealed marks are left out."""
    keys: dict[str, object] = {"id": str(uuid7()), "event_id": str(uuid7()), "key": "another", "prefix": "ZZ"}
    keys |= {
        "dedup_key": "another",
        "consumer": "another",
        "subject": uuid7().hex,
        "aggregate_id": str(uuid7()),
    }
    keys |= {"source_id": "another", "org_id": str(uuid7())} if "side" in row else {"source_id": "another"}
    keys |= {"id": 2**40} if isinstance(row.get("id"), int) else {}
    keys |= {"position": 2**40} if {"topic", "shard"} & row.keys() else {}
    return {name: keys.get(name, value) for name, value in row.items() if name not in ("seq", "hash")}


async def _victims(session: AsyncSession, stage: Stage, table: str) -> str:
    rows = await session.scalars(text(f"SELECT row_to_json(t)::text FROM {table} t"))
    ids = [str(row) for row in rows]
    mine = [row for row in ids if str(stage.org("customer")) in row or charter_id(stage, stage.victim) in row]
    return (mine or ids)[0]
