"""The clock of the embedded mode: what lies between now and then happens, each at its own moment and in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from concordat.demonstration.steps import Story
from concordat.embedded.clock import PlatformClock, clock_app
from concordat.embedded.issuer import ISSUER, DevelopmentIssuer
from concordat.embedded.server import Dispatcher, Platform, front_door
from services.registry import SERVICES
from shared.data import migrations
from shared.runtime.clock import ShiftedClock, system_clock
from tests.support.harness import PASSWORD, template_database
from tests.support.postgres import PostgresServer
from tests.support.receiver import Receiver

BEGIN = datetime(2026, 10, 15, 15, tzinfo=UTC)


@dataclass
class Embedded:
    """The embedded mode in this process; `story` speaks to it over HTTP, with tokens of today."""

    clock: PlatformClock
    story: Story

    async def ask(self, method: str, path: str, who: str = "sysadmin", **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {await self.story.token(who)}"} if who else {}
        return await self.story.client.request(method, path, headers=headers, json=body or None)

    async def set(self, moment: str) -> list[dict[str, Any]]:
        """Let time pass until a moment; what happened on the way."""
        answer = await self.ask("POST", "/clock/set", to=moment)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["happened"])


@asynccontextmanager
async def embedded(server: PostgresServer, folder: Path) -> AsyncIterator[Embedded]:
    name = f"embedded_{uuid4().hex[:12]}"
    url = await server.create_database(name, await template_database(server))
    issuer = DevelopmentIssuer.in_folder(folder)
    passwords = dict.fromkeys(migrations.role_names(SERVICES), PASSWORD)
    ready = Platform(folder, url, passwords, "A" * 43 + "=", issuer, "http://127.0.0.1")
    clock = ShiftedClock(BEGIN - system_clock())
    services = ready.services(clock)
    moved = PlatformClock(clock, services, folder, None)
    dispatcher = Dispatcher(services | {"clock": clock_app(moved)}, front_door(services))

    async def token(subject: str) -> str:
        return issuer.token(subject, system_clock())

    transport = httpx.ASGITransport(app=dispatcher)
    async with (
        dispatcher.lifespan(),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=None) as client,
    ):
        yield Embedded(moved, Story(client, token, ISSUER))
    await server.drop_database(name)


@pytest.fixture
async def e(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Embedded]:
    """A charter in force since October, an agreement and an SLA under it."""
    async with embedded(postgres, tmp_path) as running:
        await running.story.register_organizations()
        await running.story.draft_charter()
        await running.story.ratify_charter()
        await running.story.register_sla((await running.story.register_agreement())["id"])
        yield running


async def test_what_a_deadline_causes_is_applied_before_the_clock_goes_on(e: Embedded) -> None:
    """Half a year of reports nobody publishes: each becomes an alert at the moment it was due, not at the end."""
    happened = await e.set("2027-04-30T12:00")
    moments = [each["at"] for each in happened]
    assert moments == sorted(moments)
    overdue = [each["at"][:19] for each in happened if each["kind"] == "report.publication"]
    assert overdue[0] == "2026-11-16T22:00:00"
    assert len(overdue) == 6  # October to March
    alerts = [a for a in await e.story.alerts("des.business_owner") if a["rule"] == "report_overdue"]
    assert sorted(alert["created_at"][:19] for alert in alerts) == overdue


async def test_what_fails_on_the_way_is_said_and_the_rest_happens(e: Embedded) -> None:
    async with e.clock.services["sla"].state.kernel.database.system() as session:
        await session.execute(text("UPDATE sla SET calendar = 'none'"))
    happened = await e.set("2027-08-01T12:00")
    failed = {each["kind"] for each in happened if not each["succeeded"]}
    assert failed == {"sla.period_end"}
    assert {"review", "charter.review"} <= {each["kind"] for each in happened if each["succeeded"]}
    (postponed,) = (await e.ask("GET", "/sla/v1/due")).json()["items"]
    assert postponed["kind"] == "sla.period_end"


async def test_tokens_and_signatures_keep_real_time(e: Embedded) -> None:
    async with Receiver() as receiver:
        made = await e.story.register_endpoint("des.org_admin", receiver.url("/tickets"), "cloudevents")
        await e.set("2026-12-01T12:00")  # the token that asks and the one that reads are of today

        async def arrived() -> Any:
            return receiver.requests[0] if receiver.requests else None

        request = await e.story.eventually(arrived, "a webhook")
        assert Webhook(made["signing_secret"]).verify(request.body, dict(request.headers))


async def test_business_days_are_those_of_the_charter_that_is_named(e: Embedded) -> None:
    charter = {"charter_id": e.story.charter_id}
    before = e.clock.clock()
    unknown = await e.ask("POST", "/clock/advance", by="1bd", calendar="lunar", **charter)
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_calendar")
    moved = await e.ask("POST", "/clock/advance", by="3bd", calendar="federal", **charter)
    assert moved.json()["now"][:10] == "2026-10-20"
    assert (e.clock.clock() - before).days == 5
    other = await e.ask("POST", "/clock/advance", by="1bd", charter_id=str(UUID(int=1)))
    assert other.json()["code"] == "not_found"


REFUSED = {
    "backwards": ("set", {"to": "2026-10-01T09:00"}, 409, "clock_backwards"),
    "no moment": ("set", {"to": "yesterday"}, 422, "unknown_moment"),
    "no distance": ("advance", {"by": "a while"}, 422, "unknown_duration"),
    "nothing said": ("advance", {}, 422, "invalid"),
    "something else": ("set", {"to": "2026-12-01", "back": True}, 422, "invalid"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_is_refused_and_the_clock_runs_on(
    postgres: PostgresServer, tmp_path: Path, case: str
) -> None:
    verb, body, status, code = REFUSED[case]
    async with embedded(postgres, tmp_path) as e:
        refused = await e.ask("POST", f"/clock/{verb}", **body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert (await e.ask("GET", "/clock", who="")).json()["now"][:10] == "2026-10-15"


async def test_only_the_administrator_moves_it(postgres: PostgresServer, tmp_path: Path) -> None:
    async with embedded(postgres, tmp_path) as e:
        for who, status in (("", 401), ("des.org_admin", 403)):
            assert (await e.ask("POST", "/clock/advance", who=who, by="1d")).status_code == status


async def test_how_far_it_was_moved_is_kept_for_the_next_start(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    from concordat.embedded.clock import remembered

    async with embedded(postgres, tmp_path) as e:
        await e.set("2028-01-01")
        assert (system_clock() + remembered(tmp_path)).year == 2028
