"""Audit checkpoints reach both parties as webhooks: neither has to trust the other's database."""

import json
from typing import Literal

import pytest
from sqlalchemy import text

from shared.contracts.audit import AuditCheckpointed
from shared.ids import uuid7
from tests.conftest import StartService
from tests.support.alerting import LOCAL
from tests.support.harness import RunningService
from tests.support.receiver import Receiver

Visibility = Literal["shared", "customer", "provider"]


async def checkpoint(s: RunningService, visibility: Visibility) -> None:
    event = AuditCheckpointed(
        checkpoint_id=uuid7(),
        service="changes",
        chain=s.world.charter_id,
        visibility=visibility,
        seq=3,
        hash="00",
        root="00",
        statement="{}",
        signature="AA==",
        key_id="k",
    )
    scope = s.world.scope.model_copy(update={"visibility": visibility})
    await s.publish(event, aggregate_id=event.checkpoint_id, scope=scope)


async def count(s: RunningService, table: str) -> int:
    async with s.kernel.database.system() as session:
        found: int = (await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
        return found


@pytest.mark.parametrize(
    ("visibility", "told"), [("shared", {"customer", "provider"}), ("customer", {"customer"})]
)
async def test_a_checkpoint_goes_to_the_parties_that_may_see_its_chain(
    start_service: StartService, visibility: Visibility, told: set[str]
) -> None:
    async with start_service("notifier", **LOCAL) as s, Receiver() as receiver:
        for party in ("customer", "provider"):
            form = {"name": party, "url": receiver.url(f"/{party}"), "template": "cloudevents"}
            assert (await s.post(f"{party}.om_team", "/notifier/v1/endpoints", form)).status_code == 201
        audited = await count(s, "audit")
        await checkpoint(s, visibility)
        await s.drain()
        assert {request.path.strip("/") for request in receiver.requests} == told
        assert all("statement" in str(json.loads(request.body)) for request in receiver.requests)
        # An alert would write an audit row, which the next checkpoint would cover, and so on for ever.
        assert await count(s, "alert") == 0
        assert await count(s, "audit") == audited
