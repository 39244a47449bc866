"""Events of a charter reach the endpoints of its own parties, each only what it may see, and nobody else's."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from shared.contracts import registry
from shared.contracts.base import Event, Scope, Visibility
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.hostile.support import Parties, Stage, staged

ROOT = Path(__file__).resolve().parents[2]
ORGANIZATIONS = ("customer", "provider", "observer", "other", "customer2", "provider2", "observer2")
ALLOWED: dict[Visibility, set[str]] = {
    "shared": {"customer", "provider"},
    "customer": {"customer"},
    "provider": {"provider"},
}


@pytest.fixture(scope="module")
async def stage(start_service: StartService) -> AsyncIterator[Stage]:
    """The notifier, with an endpoint of every organization that wants everything."""
    async with staged(start_service, "notifier") as made:
        for organization in ORGANIZATIONS:
            form = {
                "name": organization,
                "url": f"https://{organization}.example.gov/",
                "least_priority": "normal",
            }
            await made.call(f"{organization}.om_team", "POST", "/notifier/v1/endpoints", form)
        yield made


def followed(stage: Stage) -> list[type[Event]]:
    """The events the notifier listens to that are about a charter."""
    consumer = stage.s.kernel.consumer
    assert consumer is not None
    about_people = {"organization", "member", "charter"}
    return [
        each for each in registry() if each in consumer.inbox.handled and each.AGGREGATE not in about_people
    ]


def sample(kind: type[Event]) -> Event | None:
    """A realistic event of the class, from the committed samples."""
    files = sorted((ROOT / "docs" / "events" / "golden" / kind.TYPE).glob("*.json"))
    return kind.model_validate(json.loads(files[-1].read_text())["data"]) if files else None


def scope(stage: Stage, of: Parties, visibility: Visibility) -> Scope:
    return replace(stage.scope(of), visibility=visibility)


async def reached(stage: Stage) -> dict[str, set[str]]:
    """Which organizations have deliveries, alerts and alert history, by table."""
    names = {str(stage.org(key)): key for key in ORGANIZATIONS}
    receivers = {}
    async with stage.s.kernel.database.system() as session:
        for table in ("alert", "delivery"):
            rows = await session.scalars(text(f"SELECT DISTINCT org_id::text FROM {table}"))
            receivers[table] = {names[row] for row in rows}
    return receivers


async def emptied(stage: Stage) -> None:
    async with stage.s.kernel.database.system() as session:
        for table in ("delivery_attempt", "delivery", "alert"):
            await session.execute(text(f"DELETE FROM {table}"))


@pytest.mark.parametrize("visibility", ALLOWED)
async def test_no_event_of_a_charter_reaches_a_foreign_endpoint(stage: Stage, visibility: Visibility) -> None:
    await emptied(stage)
    kinds = 0
    for kind in followed(stage):
        event = sample(kind)
        if event is None or kind.TYPE.startswith("org.concordat.alert."):
            continue  # of the notifier's own alerts there must be one first: see below
        await stage.s.publish(event, aggregate_id=uuid7(), scope=scope(stage, stage.victim, visibility))
        kinds += 1
    receivers = await reached(stage)
    assert kinds > 15
    assert receivers["delivery"] == ALLOWED[visibility]
    assert all(orgs <= ALLOWED[visibility] for orgs in receivers.values())


async def test_the_content_of_a_delivery_is_of_the_charter_it_belongs_to(stage: Stage) -> None:
    """The provider of two charters gets both; each customer its own."""
    await emptied(stage)
    for parties in (stage.victim, stage.second, stage.third):
        for kind in followed(stage):
            event = sample(kind)
            if (
                event is not None
                and hasattr(event, "title")
                and not kind.TYPE.startswith("org.concordat.alert.")
            ):
                named = event.model_copy(update={"title": parties.word})
                await stage.s.publish(named, aggregate_id=uuid7(), scope=scope(stage, parties, "shared"))
    words = {}
    for organization in ORGANIZATIONS:
        words[organization] = await words_sent(stage, organization)
    assert words == {
        "customer": {"Sesame", "Cousin"},
        "provider": {"Sesame", "Neighbour"},
        "customer2": {"Neighbour"},
        "provider2": {"Cousin"},
        "observer": set(),
        "observer2": set(),
        "other": set(),
    }


async def words_sent(stage: Stage, organization: str) -> set[str]:
    """Whose words stand in the organization's alerts, deliveries and their bodies, as its team reads them."""
    member = f"{organization}.om_team"
    pages: list[dict[str, Any]] = []
    for kind in ("alerts", "deliveries"):
        listed = await stage.call(member, "GET", f"/notifier/v1/{kind}?limit=1000")
        pages += [
            await stage.call(member, "GET", f"/notifier/v1/{kind}/{each['id']}") for each in listed["items"]
        ]
    everything = json.dumps(pages)
    return {
        parties.word for parties in (stage.victim, stage.second, stage.third) if parties.word in everything
    }


@pytest.mark.parametrize(("act", "state"), [("acknowledge", "acknowledged"), ("resolve", "resolved")])
async def test_taking_up_or_settling_an_alert_tells_its_own_organization_only(
    stage: Stage, act: str, state: str
) -> None:
    """The notifier hears its own events: of one party's alert the other's endpoints hear nothing."""
    await emptied(stage)
    kind = next(each for each in followed(stage) if each.TYPE == "org.concordat.sla.metric.missed.v1")
    raised = sample(kind)
    assert raised is not None
    await stage.s.publish(raised, aggregate_id=uuid7(), scope=scope(stage, stage.victim, "shared"))
    listed = await stage.call("customer.om_team", "GET", "/notifier/v1/alerts")
    alert = listed["items"][0]
    path = f"/notifier/v1/alerts/{alert['id']}/{act}"
    await stage.call("customer.om_team", "POST", path, {"note": "Sesame"}, alert["version"])
    for envelope in await own_events(stage, state):
        await stage.s.publish(envelope, aggregate_id=uuid7(), scope=scope(stage, stage.victim, "customer"))
    for organization in set(ORGANIZATIONS) - {"customer"}:
        listed = await stage.call(f"{organization}.om_team", "GET", "/notifier/v1/deliveries")
        assert state not in json.dumps(listed), organization
    mine = await stage.call("customer.om_team", "GET", "/notifier/v1/deliveries")
    assert state in json.dumps(mine)


async def own_events(stage: Stage, state: str) -> list[Event]:
    """What the notifier emitted of its alerts."""
    wanted = f"org.concordat.alert.{state}.v1"
    kind = next(each for each in followed(stage) if wanted == each.TYPE)
    return list(await stage.s.events(kind))


async def test_a_charter_cannot_settle_what_another_charter_raised(stage: Stage) -> None:
    """An event of the neighbours' charter with the victim's escalation id resolves nothing of the victim's customer."""
    await emptied(stage)
    by_type = {each.TYPE: each for each in followed(stage)}
    raised = sample(by_type["org.concordat.escalation.raised.v1"])
    closed = sample(by_type["org.concordat.escalation.closed.v1"])
    assert raised is not None
    assert closed is not None
    await stage.s.publish(raised, aggregate_id=uuid7(), scope=scope(stage, stage.victim, "shared"))
    await stage.s.publish(closed, aggregate_id=uuid7(), scope=scope(stage, stage.second, "shared"))
    listed = await stage.call("customer.om_team", "GET", "/notifier/v1/alerts")
    assert [alert["state"] for alert in listed["items"]] == ["open"]
