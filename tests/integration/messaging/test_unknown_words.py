"""A word that a later publisher adds to a list, through the real handlers: never a dead letter, always an answer."""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

import pytest
from sqlalchemy import text

from concordat.embedded.issuer import ISSUER
from concordat.reference.events import data_schema
from concordat.reference.golden import GOLDEN
from shared.contracts import matters, registry
from shared.contracts.base import EXTENSIBLE, Event, Scope
from shared.contracts.charter import MemberChanged
from shared.contracts.sla import MetricMissed
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered
from tests.conftest import StartService
from tests.contract.words import lists_of_words, with_word
from tests.support.harness import RunningService

LATER: Final = "a_later_word"
FOLLOWERS = ("sla", "changes", "notifier")
"""The services that follow events."""


def sample(cls: type[Event]) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((GOLDEN / cls.TYPE / "0001.json").read_bytes())
    return event


class Mailbox:
    """Delivers golden samples to a service's consumer, each as an event of its own."""

    def __init__(self, service: RunningService) -> None:
        self.service, self.versions = service, count(1)

    async def deliver(self, event: Mapping[str, Any]) -> str:
        """The outcome in the inbox."""
        assert self.service.kernel.consumer is not None
        event_id, version = str(uuid7()), next(self.versions)
        value = json.dumps({**event, "id": event_id, "sequence": version}).encode()
        await self.service.kernel.consumer.handle(Delivered("topic", 0, version, b"k", value, {}))
        return str(await self.ask(f"SELECT outcome FROM inbox WHERE event_id = '{event_id}'"))

    async def ask(self, query: str) -> Any:
        async with self.service.kernel.database.system() as session:
            return await session.scalar(text(query))

    async def about_what_is_there(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event about a matter of its own, which was put, or about an alert that is there."""
        about = json.dumps(event)
        for name in ("matter_id", "subject_id"):
            if name in event["data"] and event["type"] in {cls.TYPE for cls in matters.EVENTS}:
                about = about.replace(event["data"][name], str(uuid7()))
        attributes: dict[str, Any] = json.loads(about)
        if attributes["type"] in {cls.TYPE for cls in matters.EVENTS if cls is not matters.MatterPut}:
            put = sample(matters.MatterPut)
            put["subject"] = attributes["subject"]
            put["data"] |= {
                name: attributes["data"][name] for name in ("matter_id", "subject_kind", "subject_id")
            }
            assert await self.deliver(put) == "done"
        if "alert_id" in attributes["data"]:
            attributes["data"]["alert_id"] = str(await self.ask("SELECT id FROM alert LIMIT 1"))
        return attributes


@pytest.mark.parametrize("name", FOLLOWERS)
async def test_every_open_list_takes_a_word_nobody_knows(start_service: StartService, name: str) -> None:
    async with start_service(name, with_charter=False) as service:
        mailbox = Mailbox(service)
        assert service.kernel.consumer is not None
        handled = [cls for cls in registry() if cls in service.kernel.consumer.inbox.handled]
        tried = 0
        for cls in sorted(handled, key=lambda cls: cls.AGGREGATE == "alert"):
            known = await mailbox.about_what_is_there(sample(cls))
            assert await mailbox.deliver(known) == "done", cls.TYPE
            for at, words in lists_of_words(data_schema(cls)):
                if words.get("description") != EXTENSIBLE:
                    continue
                event = await mailbox.about_what_is_there(sample(cls))
                event["data"] = with_word(event["data"], at, LATER)
                assert await mailbox.deliver(event) == "done", (cls.TYPE, at)
                tried += 1
        assert tried > 0
        assert await mailbox.ask("SELECT count(*) FROM dead_letter") == 0


async def test_an_alert_shows_the_word_and_takes_the_usual_priority(start_service: StartService) -> None:
    async with start_service("notifier", with_charter=False) as service:
        mailbox, missed = Mailbox(service), sample(MetricMissed)
        await mailbox.deliver({**missed, "data": missed["data"] | {"level": LATER}})
        assert f"missed its {LATER} level" in await mailbox.ask("SELECT title FROM alert LIMIT 1")
        assert await mailbox.ask("SELECT priority FROM alert LIMIT 1") == "normal"


async def test_a_role_nobody_knows_grants_nothing_and_hinders_nothing(start_service: StartService) -> None:
    async with start_service("changes") as service:
        roles = {"known": ("om_team", LATER), "unknown": (LATER,)}
        for subject, given in roles.items():
            member = MemberChanged(
                member_id=uuid7(),
                org_id=service.world.orgs["customer"],
                issuer=ISSUER,
                subject=subject,
                display_name=subject,
                roles=given,
                active=True,
            )
            await service.publish(member, aggregate_id=member.member_id, scope=Scope())
            assert await Mailbox(service).ask(
                f"SELECT roles FROM member WHERE subject = '{subject}'"
            ) == list(given)
        path = "/changes/v1/change_requests"
        assert (await service.get("known", path)).status_code == 200
        assert (await service.get("unknown", path)).status_code == 200
        submitted = await service.post(
            "unknown", path, {"charter_id": str(service.world.charter_id)}, key="k"
        )
        assert submitted.status_code == 403, submitted.text
