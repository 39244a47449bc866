"""The service of matters here, and the service of a subject in another process, on one bus."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from fastapi import FastAPI

from concordat.embedded.issuer import DevelopmentIssuer
from services.registry import create_app
from shared.contracts import TOPICS
from shared.contracts.base import Event
from shared.data import migrations
from shared.data.ids import uuid7
from shared.data.migrations import govern
from shared.data.session import Database
from shared.messaging.bus import Bus, Outgoing
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.clock import MovableClock
from tests.support import toy_subject
from tests.support.changes import created, ok
from tests.support.faults.processes import WebActor
from tests.support.harness import PASSWORD, settings_for, template_database
from tests.support.patience import PATIENCE, until
from tests.support.postgres import PostgresServer
from tests.support.processes import forget_topics, kafka_bootstrap
from tests.support.toy_subject import PROPOSALS
from tests.support.world import START, World

MATTERS = "/changes/v1/matters"
OWNER = "customer.business_owner"
VOTERS = ("customer.om_team", "provider.om_team")
Row = dict[str, Any]


@dataclass
class Crossing:
    """Two services whose messages may cross. `changes` is None while the service of matters is away."""

    server: PostgresServer
    database: str
    bus_kind: str
    bus_address: str
    issuer: DevelopmentIssuer
    toy: WebActor
    clock: MovableClock
    world: World
    http: httpx.AsyncClient
    changes: FastAPI | None = None
    _running: AsyncExitStack = field(default_factory=AsyncExitStack)

    # The service of matters

    async def changes_up(self, *, on_bus: bool = True) -> None:
        """Start the service of matters, anew if it runs. One that is not on the bus decides, but neither reads nor sends."""
        await self.changes_away()
        settings = settings_for(self.server, self.database, "changes", self.issuer)
        settings = settings.model_copy(update={"background": on_bus})
        app = create_app("changes", settings, self._bus(), self.clock)
        await self._running.enter_async_context(app.router.lifespan_context(app))
        self.changes = app

    async def changes_away(self) -> None:
        await self._running.aclose()
        self.changes = None

    async def matter(self, proposal: Row) -> Row:
        return ok(await self._ask("GET", VOTERS[0], f"{MATTERS}/{proposal['matter_id']}"))

    async def vote(self, proposal: Row, member: str, choice: str = "approve") -> Row:
        matter = await self.matter(proposal)
        path = f"{MATTERS}/{matter['id']}/decide"
        ballot = {"vote": choice, "rationale": f"{choice}: discussed"}
        return ok(await self._ask("POST", member, path, ballot, version=matter["version"]))

    async def decide(self, proposal: Row, choice: str = "approve") -> Row:
        """Both parties vote; the matter as it is then."""
        await self.vote(proposal, VOTERS[0], choice)
        return await self.vote(proposal, VOTERS[1], choice)

    async def opened(self, proposal: Row) -> Row:
        """The matter, once a body has it."""
        return await self.matter_in(proposal, "open")

    async def matter_in(self, proposal: Row, state: str, **also: Any) -> Row:
        wanted = {"state": state} | also

        async def arrived() -> bool:
            answer = await self._ask("GET", VOTERS[0], f"{MATTERS}/{proposal['matter_id']}")
            return answer.status_code == 200 and answer.json().items() >= wanted.items()

        await until(arrived)
        return await self.matter(proposal)

    async def _ask(
        self, method: str, member: str, path: str, body: object = None, *, version: int | None = None
    ) -> httpx.Response:
        assert self.changes is not None, "the service of matters is away"
        headers = self._headers(member) | ({} if version is None else {"If-Match": f'"{version}"'})
        transport = httpx.ASGITransport(app=self.changes, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, path, headers=headers, json=body)

    # The service of the subject

    async def propose(self, **over: str) -> Row:
        form = {"charter_id": str(self.world.charter_id), "title": "A later cut-off"} | over
        return created(await self._toy("POST", PROPOSALS, form))

    async def proposal(self, row: Row) -> Row:
        return ok(await self._toy("GET", f"{PROPOSALS}/{row['id']}"))

    async def act(self, row: Row, verb: str, **form: str) -> Row:
        return ok(await self._toy("POST", f"{PROPOSALS}/{row['id']}/{verb}", form))

    async def proposal_in(self, row: Row, state: str) -> Row:
        """The proposal, once it is in that state."""

        async def arrived() -> bool:
            return bool((await self.proposal(row))["state"] == state)

        await until(arrived)
        return await self.proposal(row)

    async def did(self, row: Row, action: str) -> None:
        """Wait until the history of the proposal and its matter has such a line."""

        async def arrived() -> bool:
            return action in actions(await self.proposal(row))

        await until(arrived)

    async def toy_away(self) -> None:
        await self.toy.kill()

    async def toy_back(self) -> None:
        self.toy.start()
        await self.toy.answers()
        await self._set_toy_clock()

    async def _toy(self, method: str, path: str, form: object = None) -> httpx.Response:
        return await self.http.request(method, self.toy.url + path, headers=self._headers(OWNER), json=form)

    # Time and messages

    async def pass_time(self, step: timedelta) -> None:
        """For both services."""
        self.clock.advance(step)
        await self._set_toy_clock()

    async def _set_toy_clock(self) -> None:
        answer = await self.http.put(f"{self.toy.url}/clock", json={"to": self.clock().isoformat()})
        assert answer.status_code == 204, answer.text

    async def published(self, service: str, kind: type[Event], proposal: Row) -> list[Row]:
        """What a service has published of that kind about the proposal's matter, as whole events in order."""
        rows = await self.fetch(
            f"SELECT payload FROM {service}.event WHERE event_type = $1 AND aggregate_id = $2 ORDER BY position",
            kind.TYPE,
            UUID(proposal["matter_id"]),
        )
        return [json.loads(row["payload"]) for row in rows]

    async def say_again(self, consumer: str, kind: type[Event], event: Mapping[str, Any]) -> None:
        """Publish the event once more, as a new message and a later one; wait until the consumer has taken it."""
        again = {**event, "id": str(uuid7()), "sequence": event["sequence"] + 1}
        headers = {"event_id": again["id"], "event_type": kind.TYPE, "event_time": again["time"]}
        producer = await self._bus().producer()
        await producer.publish(
            [Outgoing(kind.TOPIC, again["subject"].encode(), json.dumps(again).encode(), headers)]
        )
        await producer.close()

        async def taken() -> bool:
            inbox = f"SELECT 1 FROM {consumer}.inbox WHERE event_id = $1 AND outcome = 'done'"
            return bool(await self.fetch(inbox, UUID(again["id"])))

        await until(taken)

    async def fetch(self, sql: str, *args: object) -> list[Any]:
        connection = await asyncpg.connect(self.server.url(self.database))
        try:
            return list(await connection.fetch(sql, *args))
        finally:
            await connection.close()

    def _bus(self) -> Bus:
        if self.bus_kind == "pglog":
            return PgLogBus(self.bus_address)
        from shared.messaging.kafka.bus import KafkaBus

        return KafkaBus(self.bus_address, session_timeout_ms=6000)

    def _headers(self, member: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.issuer.token(member, self.clock())}"}


def actions(proposal: Row) -> list[str]:
    """What happened to a proposal and its matter, as the service of the proposal knows it."""
    return [line["action"] for line in proposal["timeline"]]


@asynccontextmanager
async def crossing(server: PostgresServer, folder: Path, bus_kind: str) -> AsyncIterator[Crossing]:
    """Both services up on a fresh database. On Kafka, Concordat's topics are emptied before and after."""
    database = f"crossing_{uuid4().hex[:12]}"
    await server.create_database(database, await template_database(server))
    await make_proposals(server, database)
    bus_address = server.url(database, migrations.BUS_ROLE, PASSWORD)
    if bus_kind == "kafka":
        bus_address = kafka_bootstrap()
        await _empty_topics(bus_address)
    issuer, clock, world = DevelopmentIssuer.in_folder(folder), MovableClock(START), World()
    runtime = {
        name: server.url(database, migrations.runtime_role(name), PASSWORD) for name in ("changes", "sla")
    }
    for service, url in runtime.items():
        await _seed(world, service, url)
    log = folder / f"{database}.log"
    setup = toy_subject.Setup(runtime["sla"], bus_kind, bus_address, (issuer.settings,), log, START)
    toy = WebActor("toy", None, toy_subject.serve, setup, service="sla")
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http:
        made = Crossing(server, database, bus_kind, bus_address, issuer, toy, clock, world, http)
        try:
            await toy.answers()
            await made.changes_up()
            yield made
        finally:
            await made.changes_away()
            await made.toy_away()
            print(log.read_text()[-4000:])
    if bus_kind == "kafka":
        await forget_topics(bus_address)
    await server.drop_database(database)


async def _empty_topics(bootstrap: str) -> None:
    from shared.messaging.kafka.bus import ensure_topics

    await forget_topics(bootstrap)
    await ensure_topics(bootstrap, TOPICS, partitions=3, replication=1)


async def _seed(world: World, service: str, url: str) -> None:
    database = Database(url, service, pool_size=1)
    async with database.system() as session:
        await world.seed(session)
    await database.close()


class _Statements(list[str]):
    def execute(self, sqltext: str) -> None:
        self.append(sqltext)


async def make_proposals(server: PostgresServer, database: str) -> None:
    """The toy's table, beside those of `sla`."""
    statements = _Statements([toy_subject.TABLE])
    govern(statements, "proposal")
    owner = server.url(database, migrations.owner_role("sla"), PASSWORD)
    connection = await asyncpg.connect(owner, server_settings={"search_path": "sla"})
    for statement in statements:
        await connection.execute(statement)
    await connection.close()
