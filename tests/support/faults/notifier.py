"""The product's notifier as a process between a bus and real receivers: killed, restarted, and judged by the checker."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import httpx
import orjson

from concordat.embedded.issuer import DevelopmentIssuer
from shared.data import migrations
from shared.data.ids import uuid7
from shared.data.session import Database
from shared.messaging.pglog.bus import PgLogBus
from shared.runtime.clock import system_clock
from tests.support.faults import actors
from tests.support.faults.actors import Setup
from tests.support.faults.checker import check, shown
from tests.support.faults.feed import Feed, scopes
from tests.support.faults.history import History
from tests.support.faults.hooks import REFUSED_HOST, Hook, LiveHook, listening, trap
from tests.support.faults.processes import WebActor
from tests.support.harness import PASSWORD, template_database
from tests.support.patience import PATIENCE, Patience
from tests.support.postgres import PostgresServer
from tests.support.world import World

GROUP: Final = "concordat-notifier"
LEASE: Final = "61 seconds"
LONGEST_WAIT: Final = "30 hours"
ALERTS: Final = """
    SELECT split_part(dedup_key, ':', 1) AS rule, org_id,
           substr(dedup_key, strpos(dedup_key, ':') + 1) AS rest, id
      FROM alert WHERE split_part(dedup_key, ':', 1) IN ('escalation', 'metric')
"""
DELIVERIES: Final = """
    SELECT endpoint_id, event_id, state, 'msg_' || replace(id::text, '-', '') AS id
      FROM delivery WHERE endpoint_id = ANY($1)
"""
CHECKPOINTS: Final = (
    "SELECT event_id, convert_from(payload, 'UTF8') AS payload FROM event WHERE aggregate_type = 'audit_checkpoint'"
    " AND event_id IN (SELECT event_id FROM inbox)"
)
WAITING: Final = """
    SELECT (SELECT count(*) FROM unnest($1::uuid[]) AS event (id)
             WHERE NOT EXISTS (SELECT FROM inbox i WHERE i.consumer = $2 AND i.event_id = event.id))
         + (SELECT count(*) FROM outbox)
         + (SELECT count(*) FROM delivery WHERE endpoint_id = ANY($3) AND state IN ('pending', 'in_flight'))
"""
TIME_PASSES: Final = (
    "UPDATE delivery SET next_attempt_at = next_attempt_at - $1::interval WHERE state = 'pending'",
    "UPDATE endpoint SET circuit_open_until = circuit_open_until - $1::interval, throttled_until = NULL",
)
BACKLOG: Final = """
    INSERT INTO delivery (id, version, created_at, updated_at, org_id, endpoint_id, event_id, event_type, content_type,
                          body, is_test, state, attempt, round_start, next_attempt_at)
    SELECT gen_random_uuid(), 1, now(), now(), org_id, id, gen_random_uuid(), 'org.concordat.test.backlog.v1',
           'application/json', '{}', false, 'pending', 0, 0, now() - n * interval '1 millisecond'
      FROM endpoint, generate_series(1, $2) AS n WHERE id = $1
"""
BYSTANDERS: Final = """
    INSERT INTO endpoint
    SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid(), 'event_types', '["none"]'::jsonb))).*
      FROM endpoint e, generate_series(1, $2) WHERE e.id = $1
"""
LEASES_END: Final = "UPDATE delivery SET lease_until = lease_until - $1::interval WHERE state = 'in_flight'"


@dataclass
class NotifierStage:
    """A notifier on a fresh database, the feed it listens to, and the endpoints it delivers to."""

    server: PostgresServer
    database: str
    setup: Setup
    world: World
    issuer: DevelopmentIssuer
    history: History
    seed: int
    exits: AsyncExitStack
    feed: Feed
    trap_port: int
    hooks: list[LiveHook] = field(default_factory=list)
    obstacles: dict[str, int] = field(default_factory=dict)
    """How many requests have to end before each has given way."""
    enough: bool = False
    """Ends a feeding that has no number."""
    process: WebActor = field(init=False)

    async def start(self) -> None:
        """Start the notifier and wait for its answer."""
        self.process = WebActor("notifier", None, actors.notify, self.setup, service="notifier")
        await self.process.answers()

    async def restart(self) -> None:
        """End it by SIGKILL and start it again."""
        await self.process.restart()
        await self.process.answers()

    async def survive(self, point: str, chance: random.Random) -> None:
        """Let it die at a fail point. Its leases end, the bus delivers everything again, and it runs on."""
        port = self.process.port
        await self.process.kill()
        self.process = WebActor(
            "notifier",
            port,
            actors.notify,
            replace(self.setup, fail_point=f"{point}:{chance.randint(1, 12)}"),
            service="notifier",
        )
        assert await self.process.ended() == -signal.SIGKILL, f"the notifier did not reach {point}"
        self.history.note("fault", name=f"died at {point}")
        await self.time_passes(LEASE, *TIME_PASSES, LEASES_END)
        await self._everything_comes_again()
        self.process = WebActor("notifier", port, actors.notify, self.setup, service="notifier")

    async def time_passes(self, how_long: str, *statements: str) -> None:
        """Pretend that it did: the schedule cannot tell."""
        async with self.admin() as connection:
            for statement in statements or TIME_PASSES:
                await connection.execute(statement.replace("$1", f"'{how_long}'"))

    async def _everything_comes_again(self) -> None:
        async with self.admin() as connection:
            await connection.execute("UPDATE bus.bus_group SET seq = 0 WHERE grp = $1", GROUP)

    async def add(self, *hooks: Hook) -> list[LiveHook]:
        """Open the receivers and register them, each by a member of its organization."""
        added = [await self._add(hook) for hook in hooks]
        self.hooks += [live for live in added if live.hook.watched]
        return added

    async def _add(self, hook: Hook) -> LiveHook:
        live = await self.exits.enter_async_context(listening(hook, self.history))
        form = {
            "name": hook.name,
            "url": live.receiver.url(),
            "template": hook.template,
            "max_in_flight": hook.max_in_flight,
        }
        token = self.issuer.token(f"{hook.org}.om_team", system_clock())
        async with httpx.AsyncClient(base_url=self.process.url, trust_env=False, timeout=PATIENCE) as client:
            answer = await client.post(
                "/notifier/v1/endpoints", json=form, headers={"Authorization": f"Bearer {token}"}
            )
        assert answer.status_code == 201, answer.text
        live.id, live.secret = answer.json()["id"], answer.json()["signing_secret"]
        if hook.refused:
            async with self.admin() as connection:
                await connection.execute(
                    "UPDATE endpoint SET url = $2 WHERE id = $1", UUID(live.id), self.trap_url
                )
        return live

    async def pile_up(self, live: LiveHook, deliveries: int, bystanders: int) -> None:
        """So many deliveries wait for an endpoint, all due and older than what comes now; others wait for nothing."""
        async with self.admin() as connection:
            await connection.execute(BYSTANDERS, UUID(live.id), bystanders)
            await connection.execute(BACKLOG, UUID(live.id), deliveries)
            await connection.execute(
                "ANALYZE delivery, endpoint"
            )  # soon autovacuum would, and then plans change

    @property
    def trap_url(self) -> str:
        return f"http://{REFUSED_HOST}:{self.trap_port}/hook"

    def listeners(self, org: UUID) -> list[str]:
        """The names of an organization's endpoints."""
        return [live.hook.name for live in self.hooks if self.world.orgs[live.hook.org] == org]

    async def feeding(self, events: int | None, rate: float) -> None:
        """Publish so many events, or until it is `enough`, at most `rate` a second."""
        for number, happening in enumerate(self.feed.happenings()):
            if self.enough or number == events:
                break
            await self.feed.publish(happening)
            await asyncio.sleep(1 / rate)

    def stand_beside(self, obstacle: str, requests: int, *hooks: LiveHook) -> None:
        """What is published from now on has to pass these endpoints: it must arrive before `requests` of them ended."""
        before = sum(live.receiver.ended for live in hooks)
        self.feed.beside, self.obstacles[obstacle] = obstacle, requests
        for live in self.hooks:
            live.gauge = lambda: sum(each.receiver.ended for each in hooks) - before

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(
            self.server.url(self.database),
            server_settings={"search_path": "notifier", "application_name": "fault-test"},
        )
        try:
            yield connection
        finally:
            await connection.close(timeout=PATIENCE)

    async def settle(self, *, hurry: bool = True) -> None:
        """Wait until every event came in and every well endpoint has everything; `hurry` lets days pass."""
        patience = Patience()
        async with self.admin() as connection:
            while (left := await self._waiting(connection)) and patience.is_left:
                await asyncio.sleep(0.25)
                if hurry:
                    await self.time_passes(LONGEST_WAIT)
        self.history.note("settled", waiting=left)

    async def _waiting(self, connection: Any) -> int:
        events = [UUID(event) for event in self.feed.published]
        well = [UUID(live.id) for live in self.hooks if not live.hook.sick]
        return int(await connection.fetchval(WAITING, events, GROUP, well))

    async def verdict(self) -> None:
        """Collect what is there and fail with every violation the checker names."""
        async with self.admin() as connection, connection.transaction(isolation="repeatable_read"):
            alerts = await connection.fetch(ALERTS)
            checkpoints = await connection.fetch(CHECKPOINTS)
            deliveries = await connection.fetch(DELIVERIES, [UUID(live.id) for live in self.hooks])
        self._record_alerts(alerts)
        takes_events = {live.hook.name for live in self.hooks if live.hook.template == "cloudevents"}
        for row in checkpoints:
            self.feed.expect_evidence(str(row["event_id"]), orjson.loads(row["payload"]), takes_events)
        self._record_deliveries(deliveries)
        self._record_sightings(alerts)
        violations = check(self.history.records)
        assert not violations, shown(violations)
        assert self.history.of("received"), "nothing was delivered, so nothing was proven"

    def _record_alerts(self, alerts: list[Any]) -> None:
        for alert in alerts:
            self.history.note("alert", rule=alert["rule"], window=f"{alert['org_id']}/{alert['rest']}")

    def _record_deliveries(self, deliveries: list[Any]) -> None:
        by_id = {UUID(live.id): live for live in self.hooks}
        for row in deliveries:
            live, event = by_id[row["endpoint_id"]], str(row["event_id"])
            name, sick = live.hook.name, live.hook.sick
            self.history.note(
                "delivery", endpoint=name, event=event, id=row["id"], state=row["state"], sick=sick
            )
            beside = self.feed.published.get(event)
            if live.hook.is_prompt and beside and row["id"] in live.first_arrival:
                ended, of = live.first_arrival[row["id"]], self.obstacles[beside]
                self.history.note("passed", endpoint=name, event=event, beside=beside, ended=ended, of=of)

    def _record_sightings(self, alerts: list[Any]) -> None:
        """Whose each id in a webhook is: an event's or its subject's parties', an alert's organization's."""
        parties = self.feed.parties | {str(alert["id"]): [str(alert["org_id"])] for alert in alerts}
        for live in self.hooks:
            org = str(self.world.orgs[live.hook.org])
            for mentioned in live.mentioned & parties.keys():
                self.history.note("seen", org=org, object=mentioned, parties=parties[mentioned])


@asynccontextmanager
async def notifier_stage(
    server: PostgresServer,
    folder: Path,
    history: History,
    seed: int,
    way_to_the_bus: Callable[[str], str] = str,
    **changes: Any,
) -> AsyncIterator[NotifierStage]:
    """A running notifier on a fresh database; `way_to_the_bus` changes its way there, `changes` alter its Setup."""
    name = f"notifier_{uuid4().hex[:12]}"
    await server.create_database(name, await template_database(server))
    issuer, world = DevelopmentIssuer.in_folder(folder), World()
    bus_url = server.url(name, migrations.BUS_ROLE, PASSWORD)
    setup = Setup(
        database_url=server.url(name, migrations.runtime_role("notifier"), PASSWORD),
        bus="pglog",
        bus_address=way_to_the_bus(bus_url),
        topic="unused",
        issuers=(issuer.settings,),
        log=history.path.with_suffix(".log"),
        **changes,
    )
    orgs = world.orgs
    seen = [
        *scopes(world.charter_id, orgs["customer"], orgs["provider"]),
        *scopes(uuid7(), orgs["other"], orgs["provider"]),
    ]
    async with AsyncExitStack() as exits:
        exits.push_async_callback(server.drop_database, name)
        port = await exits.enter_async_context(trap(history))
        feed = Feed(history, PgLogBus(bus_url), seen, lambda org: stage.listeners(org))
        stage = NotifierStage(server, name, setup, world, issuer, history, seed, exits, feed, port)
        await _seed(stage)
        await stage.start()
        try:
            yield stage
        finally:
            with contextlib.suppress(TimeoutError):
                await stage.process.kill()


async def _seed(stage: NotifierStage) -> None:
    database = Database(stage.setup.database_url, "notifier", pool_size=1)
    async with database.system() as session:
        await stage.world.seed(session)
    await database.close()
