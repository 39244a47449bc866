"""`concordat bus replay` against a real service: its directory of organizations, members and charters."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from concordat.__main__ import app
from concordat.embedded.issuer import ISSUER
from concordat.embedded.server import platform
from shared.contracts.base import Event, Scope
from shared.contracts.charter import CharterActivated, CharterDrafted, MemberChanged, OrganizationRegistered
from shared.contracts.governance import Role
from shared.data import migrations
from shared.data.ids import uuid7
from shared.data.session import Database
from shared.messaging.bus import Delivered, RetryLater
from shared.messaging.outbox import publish
from tests.conftest import StartService
from tests.support.harness import PASSWORD, ROOT, RunningService
from tests.support.patience import until
from tests.support.postgres import PostgresServer
from tests.support.world import START, World

TABLES: Final = ("organization", "member", "charter_party", "governed_charter")


@dataclass
class Desk:
    """The sla service, which follows the charter service's events; and the archive these are in."""

    service: RunningService
    charter: Database
    environment: Mapping[str, str]
    offset: int = 0

    async def archive(
        self, event: Event, aggregate: UUID, version: int = 1, scope: Scope | None = None
    ) -> bytes:
        """Let the charter service publish; returns the bytes the bus would deliver."""
        async with self.charter.system() as session:
            event_id = await publish(
                session,
                event,
                aggregate_id=aggregate,
                version=version,
                scope=scope or Scope(),
                source="/services/charter",
                now=START,
            )
            payload = await session.scalar(
                text("SELECT payload FROM event WHERE event_id = :id"), {"id": event_id}
            )
        return bytes(payload)

    async def deliver(self, *payloads: bytes) -> None:
        consumer = self.service.kernel.consumer
        assert consumer is not None
        for payload in payloads:
            self.offset += 1
            await consumer.handle(Delivered("concordat.charter", 0, self.offset, b"k", payload, {}))

    async def live(
        self, event: Event, aggregate: UUID, version: int = 1, scope: Scope | None = None
    ) -> bytes:
        """Published and delivered."""
        payload = await self.archive(event, aggregate, version, scope)
        await self.deliver(payload)
        return payload

    async def command(self, *words: str, **environment: str) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["bus", "replay", *words], env=dict(self.environment) | environment
        )

    async def do(self, statement: str) -> None:
        async with self.service.kernel.database.system() as session:
            await session.execute(text(statement))

    async def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        async with self.service.kernel.database.system() as session:
            return {
                table: sorted(
                    (tuple(row) for row in await session.execute(text(f"SELECT * FROM {table}"))), key=str
                )
                for table in TABLES
            }


@pytest.fixture
async def desk(start_service: StartService, postgres: PostgresServer) -> AsyncIterator[Desk]:
    async with start_service("sla", with_charter=False) as service:
        settings = service.kernel.settings
        database = urlsplit(settings.database_url.get_secret_value()).path[1:]
        url = postgres.url(database, migrations.runtime_role("charter"), PASSWORD)
        assert settings.bus_database_url is not None
        environment = {
            "SLA_ENVIRONMENT": "test",
            "SLA_BUS": "pglog",
            "SLA_DATABASE_URL": settings.database_url.get_secret_value(),
            "SLA_BUS_DATABASE_URL": settings.bus_database_url.get_secret_value(),
            "CONCORDAT_ARCHIVE_DATABASE_URL": postgres.url(database, migrations.ARCHIVE_ROLE, PASSWORD),
            "COLUMNS": "200",
        }
        made = Desk(service, Database(url, "charter", pool_size=2), environment)
        # What the world was seeded with came by no event.
        for table in TABLES:
            await made.do(f"DELETE FROM {table}")
        yield made
        await made.charter.close()


def organization(name: str = "Agency", org_id: UUID | None = None) -> OrganizationRegistered:
    return OrganizationRegistered(org_id=org_id or uuid7(), name=name)


def member(
    org_id: UUID, subject: str, *roles: Role, active: bool = True, member_id: UUID | None = None
) -> MemberChanged:
    return MemberChanged(
        member_id=member_id or uuid7(),
        org_id=org_id,
        issuer=ISSUER,
        subject=subject,
        display_name=subject.title(),
        roles=roles,
        active=active,
    )


def drafted(charter: CharterActivated) -> CharterDrafted:
    return CharterDrafted(
        charter_id=charter.charter_id,
        number=charter.number,
        title="A charter",
        customer_org_id=charter.customer_org_id,
        provider_org_id=charter.provider_org_id,
        observer_org_ids=charter.observer_org_ids,
    )


async def some_life(desk: Desk) -> World:
    """Two organizations, a person, a charter in its second version."""
    world = World()
    for side in ("customer", "provider"):
        await desk.live(organization(side, world.orgs[side]), world.orgs[side])
    person = member(world.orgs["customer"], "ann", Role.om_team)
    await desk.live(person, person.member_id)
    for version in (1, 2):
        event: Event = world.activation(version) if version > 1 else drafted(world.activation())
        await desk.live(event, world.charter_id, version, world.scope)
    return world


async def test_tables_broken_by_hand_are_right_again_and_the_operator_reads_what_was_done(desk: Desk) -> None:
    await some_life(desk)
    before = await desk.rows()
    await desk.do("DELETE FROM member")
    await desk.do("UPDATE organization SET name = 'wrong'")
    await desk.do("UPDATE charter_party SET joined = false")
    done = await desk.command("sla")
    assert done.exit_code == 0, done.output
    assert await desk.rows() == before
    for line in (
        "concordat-sla, from the archives of charter, sla, changes, notifier",
        "members: empties member (0 rows)",
        "reads 1 org.concordat.member.changed.v1",
        "5 of 5 events (100 %)",
        "members: member 0 -> 1 rows",
        "charters: charter_party 3 -> 3 rows, governed_charter 1 -> 1 rows",
        "5 events applied; concordat-sla goes on with its live events.",
    ):
        assert line in done.output


async def test_a_dry_run_says_what_would_happen_and_changes_nothing(desk: Desk) -> None:
    await some_life(desk)
    await desk.do("UPDATE organization SET name = 'wrong'")
    before = await desk.rows()
    planned = await desk.command("sla", "--type", OrganizationRegistered.TYPE, "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "organizations: empties organization (2 rows)" in planned.output
    assert "reads 2 org.concordat.organization.registered.v1" in planned.output
    assert "Nothing was changed." in planned.output
    assert "member" not in planned.output
    assert await desk.rows() == before


async def test_only_one_charter_is_filled_anew(desk: Desk) -> None:
    ours, theirs = await some_life(desk), await some_life(desk)
    before = await desk.rows()
    await desk.do("UPDATE governed_charter SET number = 'wrong'")
    done = await desk.command("sla", "--charter", str(ours.charter_id))
    assert done.exit_code == 0, done.output
    assert "members: left as it is; rows of member belong to no charter" in done.output
    assert "charters: charter_party 3 -> 3 rows, governed_charter 1 -> 1 rows" in done.output
    number = ours.activation().number
    await desk.do(f"UPDATE governed_charter SET number = '{number}' WHERE charter_id = '{theirs.charter_id}'")
    assert await desk.rows() == before


REFUSED = {
    "no such service": (["mail"], 2, "none of charter, sla, changes, notifier"),
    "a service that follows no other": (["charter"], 1, "there is nothing to replay"),
    "a type nobody learns from": (["sla", "--type", "nonsense"], 1, "It knows"),
    "a table that knows no charters": (
        ["sla", "--type", MemberChanged.TYPE, "--charter", str(uuid7())],
        1,
        "belong to no charter",
    ),
    "an id that is none": (["sla", "--charter", "mine"], 2, "charter"),
    "a folder without an installation": (["sla", "--data", "/nowhere"], 1, "no embedded installation"),
}


@pytest.mark.parametrize(("words", "code", "sentence"), REFUSED.values(), ids=REFUSED.keys())
async def test_what_cannot_be_replayed_is_refused_in_a_sentence(
    desk: Desk, words: Sequence[str], code: int, sentence: str
) -> None:
    as_charter = {name.replace("SLA_", "CHARTER_"): value for name, value in desk.environment.items()}
    refused = await desk.command(*words, **as_charter)
    assert refused.exit_code == code, refused.output
    assert sentence in refused.output


async def test_without_the_archives_nothing_is_begun(desk: Desk) -> None:
    missing = await desk.command("sla", CONCORDAT_ARCHIVE_DATABASE_URL="")
    assert missing.exit_code == 1
    assert "Set CONCORDAT_ARCHIVE_DATABASE_URL" in missing.output
    wrong = await desk.command(
        "sla", SLA_ARCHIVE_DATABASE_URL=desk.environment["SLA_DATABASE_URL"].replace("sla:", "charter:")
    )
    assert wrong.exit_code == 1
    assert "archive of sla cannot be read" in wrong.output


async def test_no_broker_is_needed(desk: Desk) -> None:
    await some_life(desk)
    done = await desk.command("sla", SLA_BUS="kafka", SLA_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert done.exit_code == 0, done.output
    assert "5 events applied" in done.output


async def test_what_the_notifier_alerts_about_is_not_repeated(desk: Desk) -> None:
    environment = {name.replace("SLA_", "NOTIFIER_"): value for name, value in desk.environment.items()}
    environment["NOTIFIER_DATABASE_URL"] = environment["NOTIFIER_DATABASE_URL"].replace(
        "concordat_sla:", "concordat_notifier:"
    )
    environment["NOTIFIER_SECRET_KEY"] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    planned = await desk.command("notifier", "--dry-run", **environment)
    assert planned.exit_code == 0, planned.output
    assert "alerts: left as it is; it acts on events" in planned.output
    refused = await desk.command("notifier", "--type", "org.concordat.sla.metric.missed.v1", **environment)
    assert refused.exit_code == 1
    assert "would act a second time" in refused.output


def process(desk: Desk, *words: str, fail_point: str) -> "subprocess.Popen[bytes]":
    """The command as an operator runs it, dying at a fail point."""
    environment = os.environ | dict(desk.environment) | {"FAILPOINT": fail_point, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "concordat", "bus", "replay", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, cwd=ROOT)


async def test_a_replay_killed_halfway_has_changed_nothing_and_a_second_one_is_right(desk: Desk) -> None:
    """SIGKILL after the third event: live events go on, and what came meanwhile is there after the next replay."""
    world = await some_life(desk)
    right = await desk.rows()
    await desk.do("UPDATE organization SET name = 'wrong'")
    await desk.do("DELETE FROM governed_charter")
    wrong = await desk.rows()
    dying = process(desk, "sla", fail_point="replay_after_event:3")
    assert await asyncio.to_thread(dying.wait) == -signal.SIGKILL
    assert await desk.rows() == wrong

    late = organization("late")
    payload = await desk.archive(late, late.org_id)
    await until(lambda: taken(desk, payload))
    assert len((await desk.rows())["organization"]) == 3, "the gate is open again"

    done = await desk.command("sla")
    assert done.exit_code == 0, done.output
    await desk.deliver(payload)
    counts = await desk.rows()
    assert [row for row in counts["organization"] if row[0] != late.org_id] == right["organization"]
    assert {table: counts[table] for table in TABLES[1:]} == {table: right[table] for table in TABLES[1:]}
    assert counts["governed_charter"][0][0] == world.charter_id


async def taken(desk: Desk, payload: bytes) -> bool:
    """The server may notice a moment later that the process is gone, and open the gate then."""
    try:
        await desk.deliver(payload)
    except RetryLater:
        return False
    return True


@dataclass
class Registry:
    """A charter service's year at random: organizations renamed, people who come, go and change sides, charters."""

    desk: Desk
    chance: random.Random
    queues: dict[UUID, list[bytes]] = field(default_factory=dict)
    orgs: list[UUID] = field(default_factory=list)

    async def happens(self, event: Event, aggregate: UUID, scope: Scope | None = None) -> None:
        queue = self.queues.setdefault(aggregate, [])
        queue.append(await self.desk.archive(event, aggregate, len(queue) + 1, scope))

    async def year(self) -> None:
        for _ in range(3):
            self.orgs.append(uuid7())
            await self.happens(organization("First", self.orgs[-1]), self.orgs[-1])
        for n in range(8):
            await self.chance.choice((self.rename, self.employ, self.govern))(n)

    async def rename(self, n: int) -> None:
        org = self.chance.choice(self.orgs)
        await self.happens(organization(f"Name {n}", org), org)

    async def employ(self, n: int) -> None:
        """A person joins, maybe leaves, and maybe joins another organization, each a membership of its own."""
        for org in self.chance.sample(self.orgs, self.chance.randint(1, 2)):
            person = uuid7()
            await self.happens(member(org, f"p{n}", Role.om_team, member_id=person), person)
            if self.chance.random() < 0.7:
                await self.happens(member(org, f"p{n}", active=False, member_id=person), person)

    async def govern(self, n: int) -> None:
        customer, provider = self.chance.sample(self.orgs, 2)
        world = World(orgs={"customer": customer, "provider": provider, "observer": uuid7()})
        await self.happens(drafted(world.activation()), world.charter_id, world.scope)
        for version in range(1, self.chance.randint(1, 3)):
            await self.happens(world.activation(version), world.charter_id, world.scope)

    def interleaved(self) -> list[bytes]:
        """An order in which a bus may deliver: each aggregate's own is kept, with a duplicate here and there."""
        turns = [aggregate for aggregate, queue in self.queues.items() for _ in queue]
        self.chance.shuffle(turns)
        left = {aggregate: iter(queue) for aggregate, queue in self.queues.items()}
        lived = [next(left[aggregate]) for aggregate in turns]
        for payload in self.chance.sample(lived, 3):
            lived.insert(self.chance.randint(lived.index(payload), len(lived)), payload)
        return lived


@pytest.mark.parametrize("seed", range(5))
async def test_a_replayed_directory_is_the_one_that_lived_through_it(desk: Desk, seed: int) -> None:
    history = Registry(desk, random.Random(seed))
    await history.year()
    await desk.deliver(*history.interleaved())
    lived = await desk.rows()
    assert (await desk.command("sla")).exit_code == 0
    assert await desk.rows() == lived


def test_an_installation_in_a_folder_is_replayed_from_it(tmp_path: Path) -> None:
    """One database, roles and passwords of its own; nothing else runs."""
    event = organization("Agency")
    with platform(tmp_path, None, "http://127.0.0.1:1") as ready:
        asyncio.run(_published(ready.url(migrations.runtime_role("charter")), event))
        done = CliRunner().invoke(app, ["bus", "replay", "sla", "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "organizations: organization 0 -> 1 rows" in done.output


async def _published(url: str, event: OrganizationRegistered) -> None:
    charter = Database(url, "charter", pool_size=1)
    async with charter.system() as session:
        await publish(
            session,
            event,
            aggregate_id=event.org_id,
            version=1,
            scope=Scope(),
            source="/services/charter",
            now=START,
        )
    await charter.close()
