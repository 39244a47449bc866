"""The whole story through HTTP: a ratified charter, real measurements, a missed level, an escalation, a webhook."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from standardwebhooks.webhooks import Webhook

from concordat.cli.ingest import load_file
from concordat.demonstration.steps import CHANGE, RELEASE
from tests.support.platform import BUSES, WholePlatform, whole_platform
from tests.support.postgres import PostgresServer
from tests.support.receiver import Receiver

ROOT = Path(__file__).resolve().parents[2]
MAPPINGS = ROOT / "services/sla/examples"
AVAILABILITY = {
    ("Simple Syllabus", "2025-11"): (32, 34),
    ("Simple Syllabus", "2026-01"): (33, 35),
    ("You", "2025-12"): (51, 72),
    ("MS Office", "2026-01"): (35, 39),
    ("Canvas LMS", "2026-05"): (31, 33),
}
P95 = {("Okta", "2025-12"): (864, 32), ("Canvas LMS", "2025-12"): (663, 31)}


def availability(service: str) -> dict[str, Any]:
    return {
        "key": f"AV-{service.replace(' ', '-')}",
        "name": f"{service} availability",
        "service": service,
        "rule": {"aggregation": "availability", "basis": "checks"},
        "comparator": "gte",
        "expected": "99.5",
        "minimum": "90",
        "zone": "UTC",
    }


def response_time(service: str) -> dict[str, Any]:
    return {
        "key": f"P95-{service.replace(' ', '-')}",
        "name": f"{service} response time",
        "service": service,
        "rule": {"aggregation": "percentile", "percentile": "95"},
        "unit": "ms",
        "comparator": "lte",
        "expected": "3000",
        "zone": "UTC",
        "display_decimals": 0,
    }


async def govern(platform: WholePlatform) -> dict[str, Any]:
    """From nothing to a charter in force and an agreement."""
    story = platform.story
    await story.register_organizations()
    await story.draft_charter()
    await story.ratify_charter()
    return await story.register_agreement()


async def ingest(platform: WholePlatform, sla_id: str, file: Path, mapping: str) -> dict[str, Any]:
    """Load a CSV the way `concordat ingest` does, from another thread over real HTTP."""
    token = await platform.story.token(platform.story.subject("fssc.om_team"))
    summary = await asyncio.to_thread(
        load_file,
        file,
        MAPPINGS / mapping,
        sla_id=sla_id,
        url=platform.url,
        token=token,
        batch=1000,
        console=Console(quiet=True),
    )
    return summary.as_dict()


async def results(platform: WholePlatform, sla_id: str, period: str) -> dict[str, dict[str, Any]]:
    path = f"/sla/v1/slas/{sla_id}/results?period={period}"
    preview = await platform.story.call("des.om_team", "GET", path)
    return {line["metric_key"]: line for line in preview["results"]}


async def alert(platform: WholePlatform, who: str, rule: str, needle: str = "") -> dict[str, Any]:
    """The newest alert of a rule whose title contains `needle`, once it arrived."""

    async def ask() -> dict[str, Any] | None:
        alerts = await platform.story.alerts(who, rule)
        return next((alert for alert in alerts if needle in alert["title"]), None)

    return await platform.story.eventually(ask, f"an alert of rule {rule}")


async def received(platform: WholePlatform, receiver: Receiver, secret: str, needle: str) -> dict[str, Any]:
    """The first webhook whose body contains `needle`, its signature checked by the reference library."""

    async def ask() -> dict[str, Any] | None:
        for request in receiver.requests:
            if needle in request.body.decode():
                verified = Webhook(secret).verify(request.body, dict(request.headers))
                assert verified == json.loads(request.body)
                return dict(json.loads(request.body))
        return None

    return await platform.story.eventually(ask, f"a webhook about {needle}")


@pytest.mark.parametrize("bus", BUSES)
async def test_the_story_on_real_measurements(
    postgres: PostgresServer, tmp_path: Path, shared_data: Path, bus: str
) -> None:
    async with whole_platform(postgres, tmp_path, bus) as platform, Receiver() as receiver:
        story = platform.story
        story.effective, story.ends = "2025-10-01", "2028-09-30"
        platform.clock.set(datetime(2025, 10, 1, 15, tzinfo=UTC))
        agreement = await govern(platform)
        services = sorted({service for service, _ in (*AVAILABILITY, *P95)})
        metrics = [make(service) for service in services for make in (availability, response_time)]
        sla = await story.register_sla(agreement["id"], metrics=metrics)

        platform.clock.set(datetime(2026, 6, 1, 15, tzinfo=UTC))
        loaded = await ingest(platform, sla["id"], shared_data / "status-checks.csv", "status_checks.toml")
        assert (loaded["accepted"], loaded["rejected"]) == (3412, 0)
        again = await ingest(platform, sla["id"], shared_data / "status-checks.csv", "status_checks.toml")
        assert (again["accepted"], again["duplicates"]) == (0, 3412)

        for (service, period), (good, total) in AVAILABILITY.items():
            line = (await results(platform, sla["id"], period))[f"AV-{service.replace(' ', '-')}"]
            assert (line["numerator_exact"], line["denominator_exact"]) == (str(good), str(total)), (
                service,
                period,
            )
        for (service, period), (milliseconds, n) in P95.items():
            line = (await results(platform, sla["id"], period))[f"P95-{service.replace(' ', '-')}"]
            assert (line["value_exact"], line["n"]) == (str(milliseconds), n), (service, period)

        published = await story.publish_report(sla["id"], "2025-12")
        missed = [line for line in published["results"] if line["status"] == "missed_minimum"]
        assert {line["service"] for line in missed} == {"You"}
        assert await alert(platform, "des.business_owner", "metric_missed", "You availability")

        # The reference verifier compares the webhook's time with today's, so the rest happens now.
        platform.clock.set(datetime.now(UTC))
        endpoint = await story.register_endpoint(
            "fssc.org_admin", receiver.url("/tickets"), "servicenow_incident"
        )
        change = await story.submit_change()
        assert change["body"] == "smb"
        assert {line["dimension"]: line["rule"] for line in change["explanation"]} == {
            "cost_one_time": "cost_one_time/t2",
            "cost_annual": "cost_annual/t2",
            "schedule_days": "schedule_days/t2",
            "sla_effect": "sla_effect/t2",
            "security_impact": "security_impact/t2",
        }
        change = await story.escalate(change, "des.business_owner")
        assert change["body"] == "esc"
        ticket = await received(platform, receiver, endpoint["signing_secret"], change["number"])
        opened = await alert(platform, "fssc.business_owner", "escalation_raised")
        assert ticket["correlation_id"] == opened["id"]


@pytest.mark.parametrize("bus", BUSES)
async def test_the_story_on_shipped_data(postgres: PostgresServer, tmp_path: Path, bus: str) -> None:
    """What the demonstration tells, without any data from outside: clocks, votes, a report in print."""
    async with whole_platform(postgres, tmp_path, bus) as platform:
        story = platform.story
        agreement = await govern(platform)
        sla = await story.register_sla(agreement["id"])
        platform.clock.set(datetime(2026, 10, 20, 15, tzinfo=UTC))
        undecided = await story.submit_change(RELEASE)
        assert undecided["body"] == "smb"
        await platform.pass_time(datetime(2026, 11, 3, 21, 59, tzinfo=UTC))
        path = f"/changes/v1/change_requests/{undecided['id']}"
        assert (await story.call("des.om_team", "GET", path))["body"] == "smb"
        await platform.pass_time(datetime(2026, 11, 3, 22, 0, 1, tzinfo=UTC))
        assert (await story.call("des.om_team", "GET", path))["body"] == "esc"
        assert await alert(platform, "des.business_owner", "escalation_raised")

        loaded = await ingest(platform, sla["id"], MAPPINGS / "october_probes.csv", "status_checks.toml")
        assert loaded["accepted"] > 0
        await platform.pass_time(datetime(2026, 11, 16, 15, tzinfo=UTC))
        published = await story.publish_report(sla["id"], "2026-10")
        assert {line["metric_key"]: line["status"] for line in published["results"]} == {
            "AV-01": "missed_expected",
            "AV-07": "met",
        }
        page = await story.client.get(
            f"/sla/v1/reports/{published['id']}.html",
            headers={"Authorization": f"Bearer {await story.token(story.subject('des.om_team'))}"},
        )
        assert page.status_code == 200
        assert "<caption" in page.text
        assert published["number"] in page.text

        change = await story.submit_change(CHANGE)
        change = await story.vote(change, "des.om_team", "approve")
        assert change["state"] == "pending_decision"
        change = await story.vote(change, "fssc.isso", "approve")
        assert change["state"] == "approved"
        log = await story.client.get(
            "/changes/v1/change_requests.csv",
            headers={"Authorization": f"Bearer {await story.token(story.subject('qsmo.observer'))}"},
        )
        assert change["number"] in log.text
