"""The demonstration of the embedded mode: a story of October and November 2026, played once, then kept.

It runs the four real services with a clock it may move, through their public API.
"""

import csv
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from concordat.demonstration.steps import PEOPLE, RELEASE, Story
from concordat.embedded import server as embedded
from concordat.embedded.issuer import ISSUER
from concordat.embedded.passing import pass_time
from services.sla.observations.service.mapping import load_mapping, map_row
from shared.runtime.clock import MovableClock

Report = Callable[[str], None]
SECRET_FILE = "webhook-secret"  # noqa: S105 - the name of a file
STATE_FILE = "demo.json"
EXAMPLES = files("services.sla") / "examples"
PERIOD = "2026-10"


def at(month: int, day: int, hour: int = 15) -> datetime:
    """A moment of autumn 2026 (UTC)."""
    return datetime(2026, month, day, hour, tzinfo=UTC)


@dataclass
class Demonstration:
    """The demonstration so far; `ids` are what a newcomer wants to look at, by name."""

    story: Story
    ready: embedded.Platform
    ids: dict[str, str] = field(default_factory=dict)


async def _register(demo: Demonstration) -> None:
    await demo.story.register_organizations()
    await demo.story.draft_charter()
    demo.ids["charter_id"] = demo.story.charter_id


async def _ratify(demo: Demonstration) -> None:
    await demo.story.ratify_charter()
    agreement = await demo.story.register_agreement()
    demo.ids["sla_id"] = (await demo.story.register_sla(agreement["id"]))["id"]
    hook = f"{demo.ready.public_url}/sink/hook/fssc"
    endpoint = await demo.story.register_endpoint("fssc.org_admin", hook, "servicenow_incident")
    _write_private(demo.ready.folder / SECRET_FILE, endpoint["signing_secret"])


async def _leave_undecided(demo: Demonstration) -> None:
    demo.ids["undecided_change_id"] = (await demo.story.submit_change(RELEASE))["id"]


async def _measure(demo: Demonstration) -> None:
    await demo.story.send_observations(demo.ids["sla_id"], example_observations())


async def _publish(demo: Demonstration) -> None:
    demo.ids["report_id"] = (await demo.story.publish_report(demo.ids["sla_id"], PERIOD))["id"]


async def _decide(demo: Demonstration) -> None:
    change = await demo.story.submit_change()
    change = await demo.story.vote(change, "des.om_team", "approve")
    await demo.story.vote(change, "fssc.isso", "approve")
    demo.ids["approved_change_id"] = change["id"]

    async def arrived() -> bool | None:
        rules = {alert["rule"] for alert in await demo.story.alerts("fssc.business_owner")}
        return True if len(rules) >= 2 else None

    await demo.story.eventually(arrived, "alerts")


CHAPTERS: tuple[tuple[datetime, str, Callable[[Demonstration], Awaitable[None]]], ...] = (
    (at(10, 1), "two organizations, an observer, their people, and the draft of a charter", _register),
    (at(10, 15), "the charter is ratified by both parties; agreement, SLA, ticketing system", _ratify),
    (at(10, 20), "a change request that nobody decides moves up when its clock runs out", _leave_undecided),
    (at(11, 6), "October is measured", _measure),
    (at(11, 16), "the report is published; a service level was missed", _publish),
    (at(11, 17), "a change request is approved by both parties at the competent body", _decide),
)


async def load(ready: embedded.Platform, report: Report, until: datetime | None = None) -> None:
    """Play the story into an empty platform, up to a moment if one is given.

    A platform that has organizations already is left alone.
    """
    clock = MovableClock(at(10, 1))
    services = ready.services(clock)
    dispatcher = embedded.Dispatcher(services, embedded.front_door(services))
    transport = httpx.ASGITransport(app=dispatcher)
    async with (
        dispatcher.lifespan(),
        httpx.AsyncClient(transport=transport, base_url=ready.public_url, timeout=30) as client,
    ):

        async def token(subject: str) -> str:
            return ready.issuer.token(subject, clock())

        story = Story(client, token, ISSUER)
        if (await story.call("sysadmin", "GET", "/charter/v1/organizations"))["items"]:
            return
        demo = Demonstration(story, ready)
        for moment, title, play in CHAPTERS:
            if until is not None and moment > until:
                break
            report(title)
            await pass_time(clock, services, moment)
            await play(demo)
    (ready.folder / STATE_FILE).write_text(json.dumps(demo.ids, indent=2))


def example_observations() -> bytes:
    """The shipped probe checks of October 2026 as NDJSON, mapped as `concordat ingest` maps them."""
    mapping = load_mapping((EXAMPLES / "status_checks.toml").read_text())
    with (EXAMPLES / "october_probes.csv").open(encoding="utf-8") as lines:
        rows = [map_row(mapping, row, line) for line, row in enumerate(csv.DictReader(lines), start=2)]
    assert all(isinstance(row, dict) for row in rows)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def webhook_secret(folder: Path) -> str | None:
    """The secret of the demonstration's endpoint, for the sink that receives its webhooks."""
    kept = folder / SECRET_FILE
    return kept.read_text().strip() if kept.exists() else None


def state(folder: Path) -> dict[str, Any]:
    """The ids the demonstration left, by name."""
    kept = folder / STATE_FILE
    ids: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    return ids


def write_tokens(ready: embedded.Platform) -> Path:
    """Shell variables with a token per role and the demonstration's ids, good for twelve hours."""
    now = datetime.now(UTC)
    subjects = ["sysadmin", *(f"{org}.{role}" for org, roles in PEOPLE.items() for role in roles)]
    lines = [f"export {_variable(s)}='{ready.issuer.token(s, now)}'" for s in subjects]
    lines += [f"export {name.upper()}='{value}'" for name, value in state(ready.folder).items()]
    lines.append(f"export CONCORDAT_URL='{ready.public_url}'")
    file = ready.folder / "tokens.env"
    _write_private(file, "\n".join(lines) + "\n")
    return file


def _write_private(file: Path, content: str) -> None:
    """Write a file that only its owner may read."""
    file.touch(mode=0o600)
    file.write_text(content)


def _variable(subject: str) -> str:
    return subject.upper().replace(".", "_")


def welcome(console: Console, ready: embedded.Platform, base_url: str, seconds: float) -> None:
    """What a newcomer reads first: addresses, who to be, what to try."""
    tokens = write_tokens(ready)
    console.print(
        f"\n[bold]Concordat is running at {base_url}[/bold] (ready in {seconds:.1f} s; Ctrl-C stops it)\n"
    )
    places = {"Services": f"{base_url}/"}
    places |= {
        f"  {name}": f"{base_url}/{name}/openapi.json" for name in ("charter", "sla", "changes", "notifier")
    }
    if report := state(ready.folder).get("report_id"):
        places["A published report"] = f"{base_url}/sla/v1/reports/{report}.html"
    places |= {
        "Webhooks as they arrive": f"{base_url}/sink/",
        "Tokens, one per role": str(tokens),
        "To let time pass": ".venv/bin/concordat clock advance 10bd",
    }
    for what, where in places.items():
        console.print(f"{what:<25}{where}", soft_wrap=True)
    roles = ", ".join(f"${_variable(f'{org}.{role}')}" for org in ("des", "fssc") for role in PEOPLE[org][:2])
    console.print(f"\nTry it (customer DES, provider FSSC; for example {roles}):\n", soft_wrap=True)
    console.print(f"  source {tokens}", soft_wrap=True)
    console.print(
        '  curl -s -H "Authorization: Bearer $DES_BUSINESS_OWNER" $CONCORDAT_URL/changes/v1/change_requests.csv\n',
        soft_wrap=True,
    )
