"""The demonstration of the embedded mode: the story told between October and November 2026, then kept.

It runs the four real services with a clock it may move, through their public API.
"""

import asyncio
import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from rich.console import Console

from concordat.demonstration.steps import PEOPLE, RELEASE, Story
from concordat.embedded import server as embedded
from concordat.embedded.issuer import ISSUER
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


async def load(ready: embedded.Platform, report: Report) -> None:
    """Tell the story into an empty platform; a platform that has organizations already is left alone."""
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
        told = await _tell(story, clock, services, ready, report)
    (ready.folder / STATE_FILE).write_text(json.dumps(told, indent=2))


async def _tell(
    story: Story, clock: MovableClock, services: dict[str, FastAPI], ready: embedded.Platform, report: Report
) -> dict[str, str]:
    report("two organizations, an observer and their people")
    await story.found_organizations()
    report("the charter is drafted, and ratified by both parties")
    await story.draft_charter()
    clock.set(at(10, 15))
    await story.ratify_charter()
    report("agreement and SLA, and the provider's ticketing system")
    agreement = await story.register_agreement()
    sla = await story.register_sla(agreement["id"])
    endpoint = await story.register_endpoint(
        "fssc.org_admin", f"{ready.public_url}/sink/hook/fssc", "servicenow_incident"
    )
    (ready.folder / SECRET_FILE).write_text(endpoint["signing_secret"])
    report("a change request that nobody decides moves up when its clock runs out")
    clock.set(at(10, 20))
    undecided = await story.submit_change(RELEASE)
    await _pass_time(clock, services, at(11, 4))
    report("October is measured, the report published; a service level was missed")
    clock.set(at(11, 6))
    await story.send_observations(sla["id"], example_observations())
    await _pass_time(clock, services, at(11, 16))
    published = await story.publish_report(sla["id"], PERIOD)
    report("a change request is approved by both parties at the competent body")
    clock.set(at(11, 17))
    change = await story.submit_change()
    change = await story.vote(change, "des.om_team", "approve")
    await story.vote(change, "fssc.isso", "approve")

    async def told() -> bool | None:
        rules = {alert["rule"] for alert in await story.alerts("fssc.business_owner")}
        return True if len(rules) >= 2 else None

    await story.eventually(told, "alerts")
    return {
        "charter_id": story.charter_id,
        "sla_id": sla["id"],
        "report_id": published["id"],
        "approved_change_id": change["id"],
        "undecided_change_id": undecided["id"],
    }


async def _pass_time(clock: MovableClock, services: dict[str, FastAPI], until: datetime) -> None:
    """Move the clock and let everything that became due happen."""
    clock.set(until)
    for service in services.values():
        await service.state.kernel.timers.run_once()
    await asyncio.sleep(0)


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
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    return found


def write_tokens(ready: embedded.Platform) -> Path:
    """Shell variables with a token per role and the demonstration's ids, good for twelve hours."""
    now = datetime.now(UTC)
    subjects = ["sysadmin", *(f"{org}.{role}" for org, roles in PEOPLE.items() for role in roles)]
    lines = [f"export {_variable(s)}='{ready.issuer.token(s, now)}'" for s in subjects]
    lines += [f"export {name.upper()}='{value}'" for name, value in state(ready.folder).items()]
    lines.append(f"export CONCORDAT_URL='{ready.public_url}'")
    file = ready.folder / "tokens.env"
    file.touch(mode=0o600)
    file.write_text("\n".join(lines) + "\n")
    return file


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
    if ids := state(ready.folder):
        places["A published report"] = f"{base_url}/sla/v1/reports/{ids['report_id']}.html"
    places |= {"Webhooks as they arrive": f"{base_url}/sink/", "Tokens, one per role": str(tokens)}
    for what, where in places.items():
        console.print(f"{what:<25}{where}", soft_wrap=True)
    roles = ", ".join(f"${_variable(f'{org}.{role}')}" for org in ("des", "fssc") for role in PEOPLE[org][:2])
    console.print(f"\nTry it (customer DES, provider FSSC; for example {roles}):\n", soft_wrap=True)
    console.print(f"  source {tokens}", soft_wrap=True)
    console.print(
        '  curl -s -H "Authorization: Bearer $DES_BUSINESS_OWNER" $CONCORDAT_URL/changes/v1/change_requests.csv\n',
        soft_wrap=True,
    )
