"""What cannot be written, opened or given back is set aside, and what stands behind it goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.notifier.channels.domain import Answer, Verdict
from services.notifier.deliveries.service.claiming import Claimed
from services.notifier.deliveries.service.results import LONGEST_DISTANCE, Outcome, Unwritten
from services.notifier.deliveries.service.worker import DeliveryWorker
from services.notifier.endpoints.due import timers
from services.notifier.endpoints.service.secrets import Keyring
from services.notifier.endpoints.service.vault import Vault, new_vault_key, vault_key
from shared.contracts.notifier import AlertAcknowledged
from tests.conftest import StartService
from tests.support.alerting import (
    LOCAL,
    NOTIFIER,
    act,
    alerts_of,
    deliveries_of,
    emptied,
    escalated,
    loop_back,
    ok,
    registered,
)
from tests.support.harness import RunningService
from tests.support.receiver import Receiver, Reply

REFUSING = """
    CREATE FUNCTION notifier.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF {when} THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE {event} ON notifier.{table} FOR EACH ROW EXECUTE FUNCTION notifier.refuse();
"""
KEY = new_vault_key()
ACCEPTING = "DROP FUNCTION notifier.refuse CASCADE"


@pytest.fixture(scope="module")
async def service(start_service: StartService) -> AsyncIterator[RunningService]:
    async with start_service("notifier", **LOCAL, secret_key=SecretStr(KEY)) as started:
        yield started


@pytest.fixture
async def s(service: RunningService) -> RunningService:
    service = await emptied(service, datetime.now(UTC))
    service.kernel.workers[:] = [DeliveryWorker(service.kernel.database, service.app.state.delivery_tools)]
    return service


@asynccontextmanager
async def refused(s: RunningService, table: str, event: str, when: str) -> AsyncIterator[None]:
    """While it lasts, the database takes no such row."""
    url = s.kernel.settings.migration_url
    assert url is not None
    owner = await asyncpg.connect(url.get_secret_value())
    await owner.execute(REFUSING.format(table=table, event=event, when=when))
    try:
        yield
    finally:
        await owner.execute(ACCEPTING)
        await owner.close()


async def one_of(s: RunningService, endpoint: dict[str, Any]) -> UUID:
    return UUID((await deliveries_of(s, endpoint))[0]["id"])


@pytest.mark.parametrize("reply", [Reply(), Reply(status=400)], ids=["delivered", "failed"])
async def test_a_result_that_cannot_be_written_holds_up_no_other_and_is_written_later(
    s: RunningService, reply: Reply
) -> None:
    async with Receiver(otherwise=reply) as receiver:
        endpoint = await registered(s, receiver.url(), max_in_flight=8)
        for _ in range(4):
            await escalated(s)
        odd = await one_of(s, endpoint)
        async with refused(s, "delivery_attempt", "INSERT", f"NEW.delivery_id = '{odd}'"):
            await s.drain()
            await s.drain()
            left = {UUID(d["id"]): d["state"] for d in await deliveries_of(s, endpoint)}
            assert left.pop(odd) == "in_flight"
            assert set(left.values()) == {"done" if reply.status == 200 else "pending"}
        assert len(receiver.requests) == 4
        s.clock.advance(timedelta(seconds=1))
        await s.drain()
        (written,) = [d for d in await deliveries_of(s, endpoint) if UUID(d["id"]) == odd]
    assert (written["attempt"], len(written["attempts"])) == (1, 1)
    assert len(receiver.requests) == 4, "nothing was sent twice"


async def test_a_result_that_can_never_be_written_is_dropped_with_its_lease(s: RunningService) -> None:
    async with Receiver() as receiver:
        endpoint = await registered(s, receiver.url())
        await escalated(s)
        odd = await one_of(s, endpoint)
        async with refused(s, "delivery_attempt", "INSERT", f"NEW.delivery_id = '{odd}'"):
            await s.drain()
            s.clock.advance(timedelta(seconds=61))
            await s.drain()
            assert len(receiver.requests) == 2, "the first lost lease goes again at once"
            s.clock.advance(timedelta(seconds=61))
            await s.drain()
            assert len(receiver.requests) == 2, "the next one waits as the schedule says"
            (waiting,) = await deliveries_of(s, endpoint)
    assert (waiting["state"], waiting["attempt"]) == ("pending", 2)
    assert "could not write down" in waiting["last_error"]


async def test_an_endpoint_whose_body_cannot_be_made_holds_up_no_other_and_its_owner_is_alerted(
    s: RunningService,
) -> None:
    odd = await registered(s, "https://tickets.example.gov/odd")
    beside = await registered(s, "https://tickets.example.gov/beside")
    providers = await registered(s, "https://tickets.example.gov/", "provider.om_team")
    async with s.kernel.database.system() as session:
        await session.execute(
            text('UPDATE endpoint SET template_options = \'{"priorities": {"odd": "1"}}\' WHERE id = :odd'),
            {"odd": UUID(odd["id"])},
        )
    await escalated(s)
    assert (await deliveries_of(s, odd), len(await deliveries_of(s, beside))) == ([], 1)
    listed = ok(await s.get("provider.om_team", f"{NOTIFIER}/deliveries", endpoint_id=providers["id"]))
    assert len(listed["items"]) == 1
    (alert,) = await alerts_of(s, "customer.om_team", rule="endpoint_unusable")
    assert "set both again" in alert["title"]
    (alert,) = await alerts_of(s, "customer.om_team", rule="escalation_raised")
    ok(await act(s, alert, "alerts", "acknowledge"))
    await loop_back(s, AlertAcknowledged)
    assert len(await deliveries_of(s, beside)) == 2
    headers = s.headers("customer.om_team", If_Match=f'"{odd["version"]}"')
    mended = {"template": "cloudevents", "template_options": {}}
    ok(await s.client.patch(f"{NOTIFIER}/endpoints/{odd['id']}", headers=headers, json=mended))
    (alert,) = await alerts_of(s, "customer.om_team", rule="endpoint_unusable")
    assert alert["state"] == "resolved"


def test_a_result_waits_twice_as_long_after_each_failure_and_never_beyond_its_lease() -> None:
    now = datetime(2026, 11, 20, tzinfo=UTC)
    outcome = an_outcome(lease_until=now + timedelta(minutes=5))
    unwritten, waits = Unwritten(), []
    unwritten.add(outcome)
    for _ in range(7):
        unwritten.postpone(outcome, now)
        wait = next(s for s in range(400) if unwritten.ready(now + timedelta(seconds=s)))
        waits.append(wait)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert max(waits) == LONGEST_DISTANCE.total_seconds()
    assert unwritten.ready(now + timedelta(minutes=5)) == []
    assert not unwritten.held()


def an_outcome(lease_until: datetime) -> Outcome:
    claimed = Claimed(
        id=UUID(int=1),
        endpoint_id=UUID(int=2),
        org_id=UUID(int=3),
        lease_token=UUID(int=4),
        lease_until=lease_until,
        attempt=1,
        round_start=0,
        body="{}",
        content_type="application/json",
        is_test=False,
        traceparent=None,
        next_attempt_at=lease_until,
        url="https://tickets.example.gov/",
        width=4,
        room=4,
        keyring=Keyring(Vault([vault_key(new_vault_key())]), ()),
    )
    return Outcome(claimed=claimed, answer=Answer(verdict=Verdict.delivered), finished_at=lease_until)


async def test_a_lease_that_cannot_be_given_back_holds_up_no_other(s: RunningService) -> None:
    endpoint = await registered(s, "https://tickets.example.gov/")
    for _ in range(3):
        await escalated(s)
    async with s.kernel.database.system() as session:
        values = {"over": s.clock() - timedelta(seconds=1)}
        await session.execute(
            text("UPDATE delivery SET state = 'in_flight', attempt = 1, lease_until = :over"), values
        )
    odd = await one_of(s, endpoint)
    async with refused(s, "delivery", "UPDATE", f"NEW.id = '{odd}' AND NEW.state = 'pending'"):
        await s.kernel.timers.run_once()
        left = {UUID(d["id"]): d["state"] for d in await deliveries_of(s, endpoint)}
        assert left.pop(odd) == "in_flight"
        assert set(left.values()) == {"pending"}


async def test_a_secret_that_does_not_open_holds_up_no_other(s: RunningService) -> None:
    newer = Vault([vault_key(new_vault_key()), vault_key(KEY)])
    for number in range(3):
        await registered(s, f"https://tickets.example.gov/{number}")
    async with s.kernel.database.system() as session:
        await session.execute(
            text(
                "UPDATE endpoint_secret SET ciphertext = 'torn' WHERE id = (SELECT min(id::text)::uuid FROM endpoint_secret)"
            )
        )
    _, rewrap = timers(newer)
    async with s.kernel.database.system() as session:
        await rewrap.run(session, s.clock())
        left = await session.scalars(text("SELECT key_id FROM endpoint_secret ORDER BY id::text"))
    assert left.all() == [newer.key_ids[1], newer.current_key_id, newer.current_key_id]
