"""Audit checkpoints reach both parties as webhooks: neither has to trust the other's database."""

import json
from dataclasses import replace
from typing import Literal
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.contracts.audit import AuditCheckpointed
from shared.contracts.base import Scope
from shared.data.ids import uuid7
from tests.conftest import StartService
from tests.support.alerting import LOCAL
from tests.support.harness import RunningService
from tests.support.receiver import Receiver

Visibility = Literal["shared", "customer", "provider"]


async def checkpoint(s: RunningService, visibility: Visibility = "shared", owner: UUID | None = None) -> None:
    """A charter's checkpoint, or that of an organization's own affairs."""
    event = AuditCheckpointed(
        checkpoint_id=uuid7(),
        service="changes",
        chain=owner or s.world.charter_id,
        visibility=visibility,
        seq=3,
        hash="00",
        root="00",
        statement="{}",
        signature="AA==",
        key_id="k",
    )
    scope = Scope() if owner else replace(s.world.scope, visibility=visibility)
    await s.publish(event, aggregate_id=event.checkpoint_id, scope=scope)


async def count(s: RunningService, table: str) -> int:
    async with s.kernel.database.system() as session:
        rows: int = (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
        return rows


async def listening(s: RunningService, receiver: Receiver) -> None:
    """Both parties keep every event they may see, each under a path of its own."""
    for party in ("customer", "provider"):
        form = {"name": party, "url": receiver.url(f"/{party}"), "template": "cloudevents"}
        assert (await s.post(f"{party}.om_team", "/notifier/v1/endpoints", form)).status_code == 201


async def test_a_checkpoint_of_an_organizations_own_affairs_goes_to_it_alone(
    start_service: StartService,
) -> None:
    async with start_service("notifier", **LOCAL) as s, Receiver() as receiver:
        await listening(s, receiver)
        await checkpoint(s, owner=s.world.orgs["provider"])
        await s.drain()
        assert [request.path for request in receiver.requests] == ["/provider"]


@pytest.mark.parametrize(
    ("visibility", "receivers"), [("shared", {"customer", "provider"}), ("customer", {"customer"})]
)
async def test_a_checkpoint_goes_to_the_parties_that_may_see_its_chain(
    start_service: StartService, visibility: Visibility, receivers: set[str]
) -> None:
    async with start_service("notifier", **LOCAL) as s, Receiver() as receiver:
        await listening(s, receiver)
        audited = await count(s, "audit")
        await checkpoint(s, visibility)
        await s.drain()
        assert {request.path.strip("/") for request in receiver.requests} == receivers
        assert all("statement" in str(json.loads(request.body)) for request in receiver.requests)
        # An alert would write an audit row, which the next checkpoint would cover, and so on for ever.
        assert await count(s, "alert") == 0
        assert await count(s, "audit") == audited
