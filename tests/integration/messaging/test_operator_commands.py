"""The operator's commands against a running service: list, show, replay, discard, rewind."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from concordat.__main__ import app
from shared.data.ids import uuid7
from shared.messaging.bus import Delivered
from tests.conftest import StartService
from tests.support.harness import RunningService
from tests.support.platform import listening

TOPIC = "concordat.charter"


@pytest.fixture(scope="module")
async def sla(start_service: StartService) -> AsyncIterator[tuple[RunningService, str]]:
    async with start_service("sla") as service, listening(service.app) as url:
        yield service, url


async def command(sla: tuple[RunningService, str], *words: str, subject: str = "sysadmin") -> Result:
    service, url = sla
    environment = {"CONCORDAT_URL": url, "CONCORDAT_TOKEN": service.token(subject), "COLUMNS": "300"}
    return await asyncio.to_thread(CliRunner().invoke, app, list(words), env=environment)


async def test_a_poisonous_message_is_listed_shown_tried_and_discarded(
    sla: tuple[RunningService, str],
) -> None:
    service, _ = sla
    assert service.kernel.consumer is not None
    await service.kernel.consumer.handle(Delivered(TOPIC, 0, 77, b"k", b"{}", {}))
    listed = await command(sla, "dead-letters", "list", "sla", "--json")
    assert listed.exit_code == 0, listed.output
    letter = listed.output.split('"id": "')[1].split('"')[0]
    shown = await command(sla, "dead-letters", "show", "sla", letter)
    assert '"offset": 77' in shown.output
    tried = await command(sla, "dead-letters", "replay", "sla", letter, "--dry-run")
    assert tried.exit_code == 1
    assert "failed" in tried.output
    gone = await command(sla, "dead-letters", "discard", "sla", letter, "--reason", "made by hand")
    assert "1 discarded" in gone.output
    left = await command(sla, "dead-letters", "list", "sla")
    assert "0 letters" in left.output


async def test_a_deadline_that_failed_is_listed_and_tried_again(sla: tuple[RunningService, str]) -> None:
    service, _ = sla
    async with service.kernel.database.system() as session:
        await session.execute(
            text(
                "INSERT INTO due (id, kind, subject_type, subject_id, customer_org_id, provider_org_id, visibility,"
                " due_at, steps, wakes_at, attempts, last_error)"
                " VALUES (:id, 'toy.end', 'toy', :id, :id, :id, 'shared', now(), '[]', now(), 2, 'Refused: why')"
            ),
            {"id": uuid7()},
        )
    listed = await command(sla, "due", "list", "sla")
    assert "Refused: why" in listed.output
    assert "1 postponed" in listed.output
    assert "0 waiting" in (await command(sla, "due", "list", "sla", "--state", "waiting")).output
    tried = await command(sla, "due", "retry", "sla", "--kind", "toy.end")
    assert "1 are tried now" in tried.output
    assert (await command(sla, "due", "retry", "sla")).exit_code == 2


async def test_a_member_of_an_organization_is_told_why_not(sla: tuple[RunningService, str]) -> None:
    refused = await command(sla, "dead-letters", "list", "sla", subject="customer.org_admin")
    assert refused.exit_code == 1
    assert "platform administrator" in refused.output


async def test_a_rewound_group_reads_the_topic_again(
    sla: tuple[RunningService, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = sla
    for name in ("database_url", "bus_database_url"):
        secret = getattr(service.kernel.settings, name)
        monkeypatch.setenv(f"SLA_{name.upper()}", secret.get_secret_value())
    monkeypatch.setenv("SLA_BUS", "pglog")
    monkeypatch.setenv("SLA_ENVIRONMENT", "test")
    planned = await command(sla, "bus", "rewind", "sla", TOPIC, "--offset", "3=1", "--dry-run")
    assert "partition 3 from 1" in planned.output
    done = await command(sla, "bus", "rewind", "sla", TOPIC)
    assert done.exit_code == 0, done.output
    assert (await command(sla, "bus", "rewind", "sla", TOPIC, "--offset", "three")).exit_code == 2
